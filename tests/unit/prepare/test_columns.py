import numpy as np
import pandas as pd
import pytest

from lastmile.errors import DataError
from lastmile.prepare.columns import make_typed, parse_numbers, resolve_rules


@pytest.fixture
def guessed(make_data):
    def do(**columns):
        frame = pd.DataFrame(columns)
        frame = frame.assign(y=["0", "1"] * (len(frame) // 2), k=range(len(frame)))
        rules = resolve_rules(make_data(key="k"), frame)
        return {name: rule.type for name, rule in rules.items()}

    return do


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["1", "2", None, "3.0"], "integer"),
        (["1", "2.5", " 3 ", None], "number"),
        ([1, 2, 3, 4], "integer"),
        ([1.0, None, 3.0, 4.0], "integer"),
        ([1.5, None, 3.0, 4.0], "number"),
        ([True, False, True, True], "boolean"),
        (["yes", "no", "No", None], "boolean"),
        (["0", "1", "1", "0"], "integer"),
        (["red", "blue", "1", "2"], "category"),
        (["2026-01-01", "2026-01-02T10:00", None, "2026-01-03"], "timestamp"),
        (pd.to_datetime(["2026-01-01"] * 4), "timestamp"),
        (["1"] * 39 + ["#REF!"], "integer"),
        (["00001", "10115", "20095", None], "category"),
        (["0", "0.5", "10", None], "number"),
    ],
)
def test_the_type_is_found_by_looking(guessed, values, kind):
    assert guessed(v=values) == {"v": kind}


def test_key_label_and_empty_columns_are_left_out(guessed):
    assert guessed(v=[1, 2], empty=[None, None]) == {"v": "integer"}


def test_the_group_of_the_split_is_left_out(make_data):
    frame = pd.DataFrame({"v": [1, 2], "g": ["a", "b"], "y": ["0", "1"]})
    data = make_data(split={"by": "group", "column": "g"})
    assert list(resolve_rules(data, frame)) == ["v"]


def test_names_and_remarks_are_no_category(guessed):
    with pytest.raises(DataError, match="'v' has 200 different texts in 200 rows"):
        guessed(v=[f"person {i}" for i in range(200)])


def test_no_column_left_is_an_error(guessed):
    with pytest.raises(DataError, match="No column is left"):
        guessed(v=[None, None])


def test_near_matches_are_named(make_data):
    frame = pd.DataFrame({"Age": [1], "y": ["0"]})
    with pytest.raises(DataError, match=r"lacks Ages \(there is Age\)"):
        resolve_rules(make_data(columns={"Ages": {"type": "integer"}}), frame)


def test_one_wrong_value_changes_no_other_number():
    """Alone they go through Arrow, with a wrong one through pandas; the bits must be the same."""
    digits = [repr(float(x)) for x in np.random.default_rng(0).normal(size=2000) * 1e-5]
    alone = parse_numbers(pd.Series(digits, dtype="str"))
    beside = parse_numbers(pd.Series([*digits, "#REF!", None, "1_000", "0x10"], dtype="str"))
    assert alone.tolist() == beside.tolist()[:2000] == [float(x) for x in digits]
    assert beside[2000:].isna().all()


def test_a_boolean_with_a_gap_as_pandas_writes_it():
    typed = make_typed(pd.Series(["1.0", "0.0", None, "2.0"], dtype="str"), "boolean")
    assert typed.column.tolist()[:2] == [1.0, 0.0]
    assert typed.wrong.to_dict() == {3: "not true or false"}
