import sys

import pandas as pd
import pytest

from lastmile.errors import DataError, PipelineFileError, ServiceUnavailableError
from lastmile.prepare.sources.python import PythonSource

MODULE = """
import sys
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
def nothing(): return None
def ends(): sys.exit(0)
def prints():
    print("so far so good")
    return one()
def other_columns():
    yield pd.DataFrame({"x": [1], "y": [1]})
    yield pd.DataFrame({"x": [2], "z": [1]})
def with_gap():
    yield pd.DataFrame({"x": [2**53 + 1]})
    yield pd.DataFrame({"x": [None, 0.5]})
"""


@pytest.fixture(autouse=True)
def _module(tmp_path, monkeypatch):
    (tmp_path / "hooks_under_test.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "hooks_under_test", raising=False)


def call(name: str, place, **arguments):
    return PythonSource(call=f"hooks_under_test.{name}", arguments=arguments).read(place).frame


def test_one_frame_with_arguments(place):
    pd.testing.assert_frame_equal(call("one", place, rows=3), pd.DataFrame({"x": [0, 1, 2]}))


def test_several_frames(place):
    pd.testing.assert_frame_equal(call("several", place), pd.DataFrame({"x": [1, 2]}))


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("none", DataError, "gave no rows"),
        ("fails", DataError, r"failed: .*hooks_under_test.py:\d+: KeyError: 'colour'"),
        ("foresaw", DataError, "The shelf is empty"),
        ("away", ServiceUnavailableError, "ConnectionRefusedError: port 5432"),
        ("text", DataError, "gave str, not a data frame"),
        ("nothing", DataError, "gave NoneType, not a data frame"),
        ("ends", DataError, r"hooks_under_test.py:16: it called sys.exit\(0\)"),
        ("other_columns", DataError, "frame 2 of .* differs from the first in y, z"),
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


def test_frames_of_another_type_keep_every_value(place):
    """Put together by pandas, 9007199254740993 would become 9007199254740992."""
    frame = call("with_gap", place)
    assert frame["x"].tolist()[0] == "9007199254740993"
    assert frame["x"].tolist()[2] == "0.5"


def test_what_a_function_prints_is_no_part_of_the_answer(place, capsys):
    call("prints", place)
    assert capsys.readouterr() == ("", "so far so good\n")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        pytest.param("x = 1\ndef f(:\n", r"broken_\d.py:2: SyntaxError: ", id="syntax"),
        pytest.param("\n1 / 0\n", r"broken_\d.py:2: ZeroDivisionError", id="zero"),
        pytest.param("import no_such\n", r"broken_\d.py:1: ModuleNotFoundError", id="import"),
        pytest.param("import sys\nsys.nothing\n", r"broken_\d.py:2: AttributeError", id="name"),
        pytest.param("exit(0)\n", r"broken_\d.py:1: it called sys.exit", id="exit"),
    ],
)
def test_a_module_that_breaks_at_its_import_is_told_with_file_and_line(
    place, tmp_path, monkeypatch, request, code, message
):
    number = request.node.callspec.indices["code"]
    (tmp_path / f"broken_{number}.py").write_text(code)
    with pytest.raises(DataError, match=f"cannot be imported: .*{message}"):
        PythonSource(call=f"broken_{number}.rows").read(place)


def test_a_module_in_include_of_the_project_is_found(place, tmp_path):
    folder = tmp_path / "include" / "own_hooks"
    folder.mkdir(parents=True)
    (folder / "rows.py").write_text(
        "import pandas as pd\ndef all(): return pd.DataFrame({'x': [5]})\n"
    )
    before = list(sys.path)
    assert PythonSource(call="own_hooks.rows.all").read(place).frame["x"].tolist() == [5]
    assert sys.path == before
