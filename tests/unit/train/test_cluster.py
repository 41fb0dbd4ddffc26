import json

import pytest

from lastmile.errors import SettingsError
from lastmile.train.gang.cluster import Cluster, free_addresses


def test_the_variable_is_what_tensorflow_defines(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster(("a:1", "b:2"), 1)
    assert json.loads(cluster.to_variable()) == {
        "cluster": {"worker": ["a:1", "b:2"]},
        "task": {"type": "worker", "index": 1},
    }
    monkeypatch.setenv("TF_CONFIG", cluster.to_variable())
    assert Cluster.from_environment() == cluster


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"cluster": {}}', '{"cluster": {"worker": ["a:1"]}, "task": {"index": 1}}'],
)
def test_a_variable_that_names_no_gang_is_refused(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(SettingsError, match="TF_CONFIG"):
        Cluster.from_environment()


def test_free_addresses_differ() -> None:
    assert len(set(free_addresses(16))) == 16
