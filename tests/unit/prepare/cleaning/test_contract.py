import pandas as pd
import pytest

from lastmile.errors import DataError
from lastmile.features.steps import ContractStep
from lastmile.prepare.cleaning.contract import ContractCheck


@pytest.mark.parametrize(
    ("rules", "good", "bad", "reason"),
    [
        ({"type": "number"}, "1.5", "abc", "not a number"),
        ({"type": "number"}, "1e3", "1e999", "not a finite number"),
        ({"type": "number"}, "-1", "inf", "not a finite number"),
        ({"type": "number"}, "1", "nan", "not a number"),
        ({"type": "number"}, "1", "1,5", "not a number"),
        ({"type": "integer"}, "2.0", "2.5", "not a whole number"),
        ({"type": "integer"}, "9007199254740991", "9007199254740993", "a whole number beyond 2^53"),
        ({"type": "integer", "min": 18}, "18", "17", "below 18"),
        ({"type": "integer", "max": 120}, "120", "121", "above 120"),
        ({"type": "boolean"}, "Yes", "maybe", "not true or false"),
        ({"type": "category", "allowed": ["a", "b"]}, "a", "c", "not one of a, b"),
        ({"type": "timestamp"}, "2026-01-31T10:00:00+02:00", "31.1.2026", "not an ISO 8601 time"),
        ({"type": "number", "nullable": False}, "0", None, "missing"),
    ],
)
def test_a_row_that_breaks_a_rule_goes_to_quarantine_with_the_reason(
    make_rows, apply, text_frame, rules, good, bad, reason
):
    rows = make_rows(text_frame(v=[good, bad, good]), columns={"v": rules})
    report = apply(ContractCheck(), rows)
    assert rows.frame.index.tolist() == [0, 2]
    assert report.quarantined == {f"v: {reason}": 1}
    (aside,) = rows.quarantined
    assert aside["reason"].tolist() == [f"v: {reason}"]
    assert rows.steps == [ContractStep()]


def test_quarantine_shows_the_value_as_it_was_read(make_rows, apply, text_frame):
    rows = make_rows(text_frame(v=["1", "12.000,50"]), columns={"v": {"type": "number"}})
    apply(ContractCheck(), rows)
    aside = rows.origin.raw(rows.quarantined[0].index, ["v"])
    assert aside["v"].tolist() == ["12.000,50"]


def test_missing_values_break_no_other_rule(make_rows, apply, text_frame):
    rules = {
        "i": {"type": "integer", "min": 0, "max": 1},
        "c": {"type": "category", "allowed": ["a"]},
        "b": {"type": "boolean"},
    }
    rows = make_rows(text_frame(i=[None], c=[None], b=[None]), columns=rules)
    assert apply(ContractCheck(), rows).quarantined == {}


def test_a_row_has_all_its_reasons(make_rows, apply, text_frame):
    rows = make_rows(
        text_frame(v=["-1", "1"], w=["x", "1"], id=[" ", "7"]),
        columns={"v": {"type": "number", "min": 0}, "w": {"type": "number"}},
        key="id",
    )
    report = apply(ContractCheck(), rows)
    assert report.quarantined == {"id: no key": 1, "v: below 0": 1, "w: not a number": 1}
    assert rows.quarantined[0]["reason"].tolist() == ["id: no key; v: below 0; w: not a number"]


def test_more_than_the_share_allowed_fails_with_counts_and_reasons(make_rows, apply, text_frame):
    rows = make_rows(
        text_frame(v=["1"] * 8 + ["x", "-1"]),
        columns={"v": {"type": "number", "min": 0}},
        quarantine={"max_share": 0.1},
    )
    with pytest.raises(DataError) as caught:
        apply(ContractCheck(), rows)
    assert "2 of 10 rows (20.0%)" in caught.value.headline
    assert "10.0%" in caught.value.headline
    assert "v: not a number (1)" in caught.value.headline
    assert "v: below 0 (1)" in caught.value.headline
    assert "first at rows row 9; rows row 10." in caught.value.hint


def test_exactly_the_share_allowed_passes(make_rows, apply, text_frame):
    rows = make_rows(
        text_frame(v=["1"] * 9 + ["x"]),
        columns={"v": {"type": "number"}},
        quarantine={"max_share": 0.1},
    )
    apply(ContractCheck(), rows)
    assert len(rows) == 9


def test_typed_values_of_a_database_pass(make_rows, apply):
    frame = pd.DataFrame({"v": [1, 2], "b": [True, False], "t": pd.to_datetime(["2026-01-01"] * 2)})
    rules = {"v": {"type": "integer"}, "b": {"type": "boolean"}, "t": {"type": "timestamp"}}
    rows = make_rows(frame, columns=rules)
    apply(ContractCheck(), rows)
    assert rows.frame["v"].tolist() == [1.0, 2.0]
    assert rows.frame["b"].tolist() == [1.0, 0.0]
