import pandas as pd
import pytest
from pydantic import ValidationError

from lastmile.errors import DataError, PipelineFileError
from lastmile.features.steps import FillStep
from lastmile.prepare.cleaning.missing import Missing

NUMBER = {"x": {"type": "number"}}
FORWARD = {"columns": ["x"], "by": "forward_fill", "order_by": "at"}


def cleaned(rows, *names):
    return pd.DataFrame({name: rows.value(name) for name in names})


def test_drop_takes_the_rows_out_of_every_split(make_rows, apply, text_frame):
    rows = make_rows(text_frame(x=["1", None, "3", None]), "ttee", columns=NUMBER)
    report = apply(Missing(columns=("x",), by="drop"), rows)
    pd.testing.assert_frame_equal(rows.frame[["x"]], pd.DataFrame({"x": [1.0, 3.0]}, index=[0, 2]))
    assert report.dropped == 2
    assert rows.steps == []


def test_median_is_that_of_the_training_split(make_rows, apply, text_frame):
    rows = make_rows(text_frame(x=["1", "3", None, "900", None]), "tttev", columns=NUMBER)
    report = apply(Missing(columns=("x",), by="median"), rows)
    pd.testing.assert_frame_equal(
        cleaned(rows, "x"), pd.DataFrame({"x": [1.0, 3.0, 2.0, 900.0, 2.0]})
    )
    assert report.filled == {"x": 2}
    assert report.fitted == {"x": 2.0}
    assert rows.steps == [FillStep(values={"x": 2.0})]


def test_what_is_filled_stays_missing_in_the_dataset(make_rows, apply, text_frame):
    rows = make_rows(text_frame(x=["1", None]), "tt", columns=NUMBER)
    apply(Missing(columns=("x",), by="median"), rows)
    pd.testing.assert_frame_equal(rows.frame[["x"]], pd.DataFrame({"x": [1.0, None]}))


def test_the_median_of_whole_numbers_is_whole(make_rows, apply, text_frame):
    rows = make_rows(text_frame(x=["1", "4", None]), "ttt", columns={"x": {"type": "integer"}})
    report = apply(Missing(columns=("x",), by="median"), rows)
    assert report.fitted == {"x": 2.0}


def test_the_mode_of_equally_frequent_values_is_the_smallest(make_rows, apply, text_frame):
    frame = text_frame(c=["b", "a", None, "z", "z"])
    rows = make_rows(frame, "tttee", columns={"c": {"type": "category"}})
    apply(Missing(columns=("c",), by="mode"), rows)
    assert rows.value("c").tolist() == ["b", "a", "a", "z", "z"]


def test_a_constant_and_a_flag(make_rows, apply, text_frame):
    rows = make_rows(
        text_frame(x=["1", None], c=[None, "a"]),
        "tt",
        columns=NUMBER | {"c": {"type": "category"}},
    )
    apply(Missing(columns=("x",), by="constant", value=-1, flag=True), rows)
    apply(Missing(columns=("c",), by="constant", value="unknown"), rows)
    pd.testing.assert_frame_equal(
        cleaned(rows, "x", "c"),
        pd.DataFrame({"x": [1.0, -1.0], "c": pd.Series(["unknown", "a"], dtype="str")}),
    )
    assert rows.steps == [
        FillStep(values={"x": -1.0}, flag=True),
        FillStep(values={"c": "unknown"}),
    ]


def test_forward_fill_stays_within_its_group_and_follows_the_order(make_rows, apply, text_frame):
    rows = make_rows(
        text_frame(
            x=[None, "1", None, "5", None],
            who=["a", "a", "a", "b", "b"],
            at=["2", "1", "3", "2", "1"],
        ),
        "ttttt",
        columns=NUMBER,
        clean=[{"missing": FORWARD | {"group": "who"}}],
    )
    report = apply(rows.data.clean[0].settings, rows)
    # The first of b, at 1, has nothing before it.
    pd.testing.assert_frame_equal(
        rows.frame[["x"]], pd.DataFrame({"x": [1.0, 1.0, 1.0, 5.0, None]})
    )
    assert report.filled == {"x": 2}
    assert rows.steps == []


def test_forward_fill_takes_nothing_from_test_into_training(make_rows, apply, text_frame):
    rows = make_rows(
        text_frame(x=["1", "99", None, None], at=["1", "2", "3", "4"]),
        "tete",
        columns=NUMBER,
        clean=[{"missing": FORWARD}],
    )
    apply(rows.data.clean[0].settings, rows)
    assert rows.frame["x"].tolist() == [1.0, 99.0, 1.0, 99.0]


def test_a_value_of_a_wrong_type_is_not_missing(make_rows, apply, text_frame):
    rows = make_rows(text_frame(x=["1", "abc", None]), "ttt", columns=NUMBER)
    report = apply(Missing(columns=("x",), by="drop"), rows)
    assert report.dropped == 1
    assert rows.as_read(rows.frame)["x"].tolist() == ["1", "abc"]


def test_nothing_to_fit_on_is_an_error(make_rows, apply, text_frame):
    rows = make_rows(text_frame(x=[None, "1"]), "te", columns=NUMBER)
    with pytest.raises(DataError, match="'x' has no value in the training split"):
        apply(Missing(columns=("x",), by="median"), rows)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        pytest.param(
            {"columns": ("c",), "by": "median"}, "'c' is of type category; the median", id="median"
        ),
        pytest.param(
            {"columns": ("x",), "by": "constant", "value": "none"},
            "'x' is of type number; the constant 'none'",
            id="text-for-number",
        ),
        pytest.param(
            {"columns": ("c",), "by": "constant", "value": 0.0},
            "'c' is of type category; the constant 0.0",
            id="number-for-text",
        ),
        pytest.param({"columns": ("y",), "by": "mode"}, "would fill the label 'y'", id="label"),
    ],
)
def test_a_way_that_does_not_fit_the_column_is_refused(
    make_rows, apply, text_frame, settings, message
):
    rows = make_rows(
        text_frame(x=["1", None], c=["a", None]), "tt", columns=NUMBER | {"c": {"type": "category"}}
    )
    with pytest.raises(PipelineFileError, match=message):
        apply(Missing(**settings), rows)


def test_a_flag_that_the_server_could_not_set_is_refused():
    with pytest.raises(ValidationError, match="flag is for by: constant, median and mode"):
        Missing(columns=("x",), by="forward_fill", order_by="t", flag=True)


def test_forward_fill_needs_an_order_that_can_be_read(make_rows, apply, text_frame):
    frame = text_frame(x=["1", None, "3"], seen=["2024-01-01", "2024-01-02", "02.03.2026"])
    step = {"missing": {"columns": ["x"], "by": "forward_fill", "order_by": "seen"}}
    rows = make_rows(frame, "ttt", columns={"x": {"type": "number"}}, clean=[step])
    with pytest.raises(DataError, match=r"'02\.03\.2026' is not an ISO 8601 time"):
        apply(rows.data.clean[0].settings, rows)
