import pandas as pd
import pytest

from lastmile.errors import DataError
from lastmile.prepare.join import join_sources

LOANS = pd.DataFrame({"id": [1, 2, 3], "amount": [10, 20, 30]})


def test_a_number_meets_its_text_and_rows_without_a_partner_stay():
    right = pd.DataFrame(
        {"id": ["1", " 3", "9", None], "income": ["a", "b", "c", "d"]}, dtype="str"
    )
    joined = join_sources({"loans": LOANS, "more": right}, {"more": "id"})
    pd.testing.assert_frame_equal(
        joined,
        pd.DataFrame(
            {
                "id": pd.Series(["1", "2", "3"], dtype="str"),
                "amount": [10, 20, 30],
                "income": pd.Series(["a", None, "b"], dtype="str"),
            }
        ),
    )


def test_missing_does_not_meet_missing():
    left = pd.DataFrame({"id": [1.0, None], "a": [1, 2]})
    right = pd.DataFrame({"id": [1.0, None], "b": [1, 2]})
    assert join_sources({"l": left, "r": right}, {"r": "id"})["b"].tolist()[0] == 1
    assert join_sources({"l": left, "r": right}, {"r": "id"})["b"].isna().tolist() == [False, True]


def test_several_partners_give_several_rows():
    right = pd.DataFrame({"id": [1, 1], "b": [5, 6]})
    joined = join_sources({"l": LOANS, "r": right}, {"r": "id"})
    assert joined["amount"].tolist() == [10, 10, 20, 30]
    assert joined.index.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("right", "message"),
    [
        ({"key": [1]}, "Source 'r' has no column 'id'"),
        ({"id": [1], "amount": [1]}, "both have amount"),
        ({"id": [7], "b": [1]}, "No row of 'l' has a partner in 'r' by 'id'"),
        ({"id": [1] * 50, "b": [1] * 50}, "would make 52 rows of 3"),
    ],
)
def test_a_join_that_cannot_be_meant_is_refused(right, message):
    with pytest.raises(DataError, match=message):
        join_sources({"l": LOANS, "r": pd.DataFrame(right)}, {"r": "id"})
