import pytest

from lastmile.train.gang.cluster import Cluster
from lastmile.train.gang.process import processors, worker_environment


def test_a_worker_gets_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LASTMILE_CONNECTION_JIRA", "https://me:token@jira")
    monkeypatch.setenv("LASTMILE_LEDGER_URL", "postgresql://me:word@db/ledger")
    monkeypatch.setenv("AWS_PROFILE", "kept")
    environment = worker_environment(Cluster(("a:1",), 0))
    assert "token" not in str(environment)
    assert "word" not in environment.get("LASTMILE_LEDGER_URL", "")
    assert environment["AWS_PROFILE"] == "kept"


def test_workers_share_the_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = worker_environment(Cluster(("a:1",), 0))
    crowd = worker_environment(Cluster(tuple(f"a:{i}" for i in range(64)), 3))
    assert alone["TF_NUM_INTRAOP_THREADS"] == str(processors())
    assert crowd["TF_NUM_INTRAOP_THREADS"] == "1"
    assert alone["TF_ENABLE_ONEDNN_OPTS"] == "0"
