import pandas as pd
import pytest

from lastmile.errors import DataError
from lastmile.prepare.join import Joined, join_sources
from lastmile.prepare.sources.acquired import RawRows

LOANS = pd.DataFrame({"id": [1, 2, 3], "amount": [10, 20, 30]})


def join(on: str, **frames: pd.DataFrame) -> Joined:
    """Join all frames to the first by one column."""
    sources = {name: RawRows.counted(frame) for name, frame in frames.items()}
    return join_sources(sources, dict.fromkeys(list(frames)[1:], on))


def test_a_number_meets_its_text_and_rows_without_a_partner_stay():
    right = pd.DataFrame(
        {"id": ["1", " 3", "9", None], "income": ["a", "b", "c", "d"]}, dtype="str"
    )
    joined = join("id", loans=LOANS, more=right).frame
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
    joined = join("id", l=left, r=right).frame
    assert joined["b"].tolist()[0] == 1
    assert joined["b"].isna().tolist() == [False, True]


def test_several_partners_give_several_rows():
    right = pd.DataFrame({"id": [1, 1], "b": [5, 6]})
    joined = join("id", l=LOANS, r=right).frame
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
        join("id", l=LOANS, r=pd.DataFrame(right))


def test_whole_numbers_without_a_partner_stay_what_they_are():
    """As float64, to which pandas widens, both would be 9007199254740992."""
    right = pd.DataFrame({"id": [1, 2], "account": [2**53, 2**53 + 1], "is_new": [True, False]})
    joined = join("id", l=LOANS, r=right).frame
    assert joined["account"].tolist()[:2] == [2**53, 2**53 + 1]
    assert joined["is_new"].tolist()[:2] == [True, False]
    assert joined[["account", "is_new"]].isna().all(axis="columns").tolist() == [False, False, True]


def test_a_join_tells_who_found_no_partner():
    right = pd.DataFrame({"id": [1, 1, 2, 8, 9, None], "b": range(6)})
    joined = join("id", l=LOANS, r=right)
    (step,) = joined.steps
    assert (step.step, step.about, step.rows_in, step.rows_out) == ("join", "r by id", 3, 4)
    assert step.joined == {"with_partner": 2, "without_partner": 1, "unused": 3, "added": 1}
    assert step.notes == [
        "2 rows have a partner in r, 1 have none; 3 of r's 6 rows were never used",
        "1 rows were added, for partners beyond a row's first",
    ]


def test_each_joined_row_is_found_again_in_all_its_sources():
    more = pd.DataFrame({"id": [3, 1, 1], "b": [5, 6, 7]})
    other = pd.DataFrame({"id": [" 3"], "c": ["x"]})
    joined = join("id", l=LOANS, more=more, other=other)
    assert joined.frame["b"].tolist()[:2] == [6, 7]
    origin, rows = joined.origin, joined.frame.index
    assert [origin.tell(row) for row in rows] == [
        "l row 1 with more row 2", "l row 1 with more row 3", "l row 2",
        "l row 3 with more row 1 with other row 1",
    ]  # fmt: skip
    places = origin.places(rows[1:3])
    assert places["l.row"].tolist() == [1, 2]
    assert places["more.row"].tolist()[0] == 3
    assert places["more.row"].isna().tolist() == [False, True]
    raw = origin.raw(rows[3:], ["c", "id"])
    assert raw["c"].tolist() == ["x"]
    assert raw["id"].tolist() == [3]
