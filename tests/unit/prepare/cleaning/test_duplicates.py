import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastmile.errors import DataError, PipelineFileError
from lastmile.prepare.cleaning.contract import ContractCheck
from lastmile.prepare.cleaning.duplicates import Duplicates, exact_duplicates

COLUMNS = {"x": {"type": "number"}}


def test_exact_keeps_the_first_of_equal_rows(make_rows, apply, text_frame):
    rows = make_rows(text_frame(x=["1", "2", "1.0", None, None]), columns=COLUMNS)
    report = apply(Duplicates(), rows)
    pd.testing.assert_frame_equal(
        rows.frame[["x"]], pd.DataFrame({"x": [1.0, 2.0, None]}, index=[0, 1, 3])
    )
    assert report.dropped == 2


def test_exact_keeps_the_last_when_told_so(make_rows, apply, text_frame):
    rows = make_rows(text_frame(x=["1", "2", "1"]), columns=COLUMNS)
    apply(Duplicates(keep="last"), rows)
    assert rows.frame.index.tolist() == [1, 2]


def test_rows_with_another_key_are_not_equal(make_rows, apply, text_frame):
    rows = make_rows(text_frame(x=["1", "1"], id=["a", "b"]), columns=COLUMNS, key="id")
    assert apply(Duplicates(), rows).dropped == 0


def test_two_different_wrong_values_are_not_equal(make_rows, apply, text_frame):
    rows = make_rows(text_frame(x=["abc", "xyz", "abc"]), columns=COLUMNS)
    assert apply(Duplicates(), rows).dropped == 1


@pytest.mark.parametrize(
    ("settings", "kept"),
    [
        pytest.param({"keep": "first"}, [0, 2], id="first"),
        pytest.param({"keep": "last"}, [2, 3], id="last"),
        pytest.param({"keep": "newest", "order_by": "version"}, [1, 2], id="newest-by-number"),
        pytest.param({"keep": "newest", "order_by": "day"}, [1, 2], id="newest-by-day"),
    ],
)
def test_by_key(make_rows, apply, text_frame, settings, kept):
    frame = text_frame(
        x=["1", "2", "3", "4"],
        id=["a", "a", "b", "a"],
        version=["9", "10", "1", None],
        day=["2026-01-02", "2026-01-10", "2025-01-01", None],
    )
    step = {"duplicates": {"by": "key", **settings}}
    rows = make_rows(frame, columns=COLUMNS, key="id", clean=[step])
    apply(rows.data.clean[0].settings, rows)
    assert rows.frame.index.tolist() == kept


def newest(order_by="seen"):
    return {"duplicates": {"by": "key", "keep": "newest", "order_by": order_by}}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        pytest.param(["2024-01-01", "2024-01-02", "02.03.2026"],
                     "'02.03.2026' is not an ISO 8601 time", id="day-first"),
        pytest.param(["v9", "v10", None], "'v9' is not", id="text"),
        pytest.param(["9", "10", "v11"], "'v11' is not a number", id="mixed"),
    ],
)  # fmt: skip
def test_what_has_no_order_decides_nothing(make_rows, apply, text_frame, values, message):
    """Read as the oldest, or as text, the wrong row would stay without a word."""
    frame = text_frame(x=["1", "2", "3"], id=["a", "a", "a"], seen=values)
    rows = make_rows(frame, columns=COLUMNS, key="id", clean=[newest()])
    with pytest.raises(DataError, match=f"Rows cannot be ordered by 'seen': {message}"):
        apply(rows.data.clean[0].settings, rows)


def test_a_row_whose_time_is_no_time_is_left_to_the_contract(make_rows, apply, text_frame):
    columns = COLUMNS | {"seen": {"type": "timestamp"}}
    days = ["2024-01-01", "02.03.2026", "2024-01-02", None]
    frame = text_frame(x=["1", "2", "3", "4"], id=["a"] * 4, seen=days)
    rows = make_rows(frame, columns=columns, key="id", clean=[newest(), "contract"])
    apply(rows.data.clean[0].settings, rows)
    assert rows.frame.index.tolist() == [1, 2]
    report = apply(ContractCheck(), rows)
    assert report.quarantined == {"seen: not an ISO 8601 time": 1}


def test_numbers_too_large_for_a_float_are_still_told_apart(make_rows, apply, text_frame):
    versions = ["9007199254740993", "9007199254740992", None]
    frame = text_frame(x=["1", "2", "3"], id=["a"] * 3, seen=versions)
    rows = make_rows(frame, columns=COLUMNS, key="id", clean=[newest()])
    apply(rows.data.clean[0].settings, rows)
    assert rows.frame.index.tolist() == [0]


def test_rows_without_a_key_are_left_to_the_contract(make_rows, apply, text_frame):
    rows = make_rows(text_frame(x=["1", "2"], id=[None, None]), columns=COLUMNS, key="id")
    assert apply(Duplicates(by="key"), rows).dropped == 0


def test_by_key_needs_a_key(make_rows, apply, text_frame):
    with pytest.raises(PipelineFileError, match="`data` names no key"):
        apply(Duplicates(by="key"), make_rows(text_frame(x=["1"]), columns=COLUMNS))


@given(
    st.lists(
        st.tuples(
            st.sampled_from([0.0, -0.0, 1.0, np.nan]),
            st.sampled_from(["a", "b", None]),
            st.integers(0, 2),
        ),
        min_size=1,
        max_size=30,
    ),
    st.sampled_from(["first", "last"]),
)
def test_the_quick_way_finds_what_pandas_finds(values, keep):
    frame = pd.DataFrame(values, columns=["a", "b", "c"])
    expected = frame.duplicated(keep=keep)
    np.testing.assert_array_equal(exact_duplicates(frame, keep), expected)
