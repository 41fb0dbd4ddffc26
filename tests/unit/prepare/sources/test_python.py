import sys

import pandas as pd
import pytest

from lastmile.errors import DataError, PipelineFileError, ServiceUnavailableError
from lastmile.prepare.sources.python import PythonSource

MODULE = """
import pandas as pd
from lastmile.errors import DataError
number = 3
def one(rows=2): return pd.DataFrame({"x": range(rows)})
def several():
    yield pd.DataFrame({"x": [1]})
    yield pd.DataFrame({"x": [2]})
def none(): return []
def fails(): raise KeyError("colour")
def foresaw(): raise DataError("The shelf is empty.", "Fill it.")
def away(): raise ConnectionRefusedError("port 5432")
def text(): return ["x"]
"""


@pytest.fixture(autouse=True)
def _module(tmp_path, monkeypatch):
    (tmp_path / "hooks_under_test.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "hooks_under_test", raising=False)


def call(name: str, place, **arguments):
    return PythonSource(call=f"hooks_under_test.{name}", arguments=arguments).read(place)


def test_one_frame_with_arguments(place):
    pd.testing.assert_frame_equal(call("one", place, rows=3), pd.DataFrame({"x": [0, 1, 2]}))


def test_several_frames(place):
    pd.testing.assert_frame_equal(call("several", place), pd.DataFrame({"x": [1, 2]}))


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("none", DataError, "gave no rows"),
        ("fails", DataError, "failed: KeyError: 'colour'"),
        ("foresaw", DataError, "The shelf is empty"),
        ("away", ServiceUnavailableError, "ConnectionRefusedError: port 5432"),
        ("text", DataError, "gave str, not a data frame"),
        ("absent", PipelineFileError, "cannot be imported"),
        ("number", PipelineFileError, "is no function"),
    ],
)
def test_what_goes_wrong_is_told(place, name, error, message):
    with pytest.raises(error, match=message):
        call(name, place)


@pytest.mark.parametrize("name", ["nowhere.rows", "rows", "pipelines..x"])
def test_a_name_that_leads_nowhere_is_refused(place, name):
    with pytest.raises(PipelineFileError, match="cannot be imported"):
        PythonSource(call=name).read(place)


def test_the_digest_follows_the_rows(place):
    def digest(rows):
        source = PythonSource(call="hooks_under_test.one", arguments={"rows": rows})
        return source.acquire(place).digest

    assert digest(2) == digest(2) != digest(3)
