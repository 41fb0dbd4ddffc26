import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastmile.errors import PipelineFileError
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
        day=["2026-01-02", "2026-01-10", "2025-01-01", "never"],
    )
    step = {"duplicates": {"by": "key", **settings}}
    rows = make_rows(frame, columns=COLUMNS, key="id", clean=[step])
    apply(rows.data.clean[0].settings, rows)
    assert rows.frame.index.tolist() == kept


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
