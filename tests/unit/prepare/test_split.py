from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastmile.artefacts.dataset import KEY, LABEL
from lastmile.errors import DataError, PipelineFileError
from lastmile.pipeline.data import SplitSettings
from lastmile.prepare.rows import StepReport
from lastmile.prepare.split import assign_splits, by_hash, by_time, check_splits

X = {"x": {"type": "number"}}
KNOWN = [0, 0, 0, 0, 0, 2, 0, 2, 2, 1, 1, 0]
KEYS = st.lists(st.text(max_size=8), min_size=1, max_size=30)


@given(keys=KEYS, others=KEYS, seed=st.integers(0, 3))
def test_a_row_never_wanders_when_others_come_or_go(keys, others, seed):
    settings = SplitSettings(seed=seed)
    alone = [by_hash(pd.Series([key]), settings)[0] for key in keys]
    together = by_hash(pd.Series([*others, *keys]), settings)[len(others) :]
    assert together.tolist() == alone


def test_known_keys_have_known_splits():
    """Stable over machines, versions and nights: these were computed once and must stay."""
    names = pd.Series([f"P{i:03d}" for i in range(12)])
    assert by_hash(names, SplitSettings()).tolist() == KNOWN
    assert by_hash(names, SplitSettings(seed=1)).tolist() != KNOWN


def test_the_shares_are_met():
    counts = Counter(by_hash(pd.Series(range(20_000)).astype(str), SplitSettings()).tolist())
    assert counts[0] / 20_000 == pytest.approx(0.7, abs=0.01)
    assert counts[1] / 20_000 == pytest.approx(0.15, abs=0.01)


def test_the_class_of_a_row_does_not_move_it(make_rows, text_frame):
    splits = []
    for label in ("0", "1"):
        rows = make_rows(text_frame(x=["1", "2", "3"], y=[label] * 3), columns=X)
        assign_splits(rows, StepReport("split"))
        splits.append(rows.splits.tolist())
    assert splits[0] == splits[1]


def test_without_a_key_equal_rows_share_their_name(make_rows, text_frame):
    rows = make_rows(text_frame(x=["1", "1.0", "2", None]), columns=X)
    assign_splits(rows, StepReport("split"))
    names = rows.frame[KEY].tolist()
    assert names[0] == names[1]
    assert len(set(names)) == 3


def test_a_key_is_the_same_key_from_a_csv_and_from_a_database(make_rows, text_frame):
    given_as = [text_frame(x=["1"], id=["17"]), pd.DataFrame({"x": [1], "id": [17]}),
                pd.DataFrame({"x": [1], "id": [17.0]})]  # fmt: skip
    keys = {make_rows(frame, columns=X, key="id").frame[KEY].iloc[0] for frame in given_as}
    assert keys == {"17"}


def test_rows_of_a_group_stay_together_and_groupless_rows_are_set_aside(make_rows):
    groups = [str(i // 5) for i in range(500)]
    frame = pd.DataFrame({"x": range(501), "g": [*groups, None]})
    rows = make_rows(frame, columns=X, split={"by": "group", "column": "g"})
    report = StepReport("split")
    assign_splits(rows, report)
    found = pd.Series(rows.splits).groupby(rows.frame["g"].to_numpy()).nunique()
    assert (found == 1).all()
    assert set(rows.splits) == {0, 1, 2}
    assert report.quarantined == {"g: no group": 1}


def test_by_time_the_cut_points_decide(make_rows, text_frame):
    split = {
        "by": "time",
        "column": "t",
        "validation_from": "2026-02-01",
        "test_from": "2026-03-01",
    }
    times = ["2026-01-31T23:59:59Z", "2026-02-01", "2026-03-01T00:00:00+01:00", "2026-03-01", "x"]
    rows = make_rows(text_frame(x=["1"] * 5, t=times), columns=X, split=split)
    report = StepReport("split")
    assign_splits(rows, report)
    assert rows.splits.tolist() == [0, 1, 1, 2]
    assert report.quarantined == {"t: no time": 1}


@pytest.mark.parametrize(
    ("validation", "test", "message"),
    [
        ("2026-03-01", "2026-02-01", "test_from 2026-02-01 is not after"),
        ("soon", "2026-02-01", "validation_from is 'soon'"),
    ],
)
def test_moments_that_cannot_be_used_are_refused(validation, test, message):
    settings = SplitSettings(by="time", column="t", validation_from=validation, test_from=test)
    with pytest.raises(PipelineFileError, match=message):
        by_time(pd.Series(pd.to_datetime(["2026-01-01"], utc=True)), settings)


def test_a_split_without_rows_is_an_error(make_rows, text_frame):
    rows = make_rows(text_frame(x=["1", "2"]), "tt", columns=X)
    rows.set_value(LABEL, pd.Series([0.0, 1.0]))
    with pytest.raises(DataError, match="No rows in validation and test: train 2"):
        check_splits(rows)


def test_a_class_that_a_split_lacks_is_an_error_with_counts(make_rows, text_frame):
    rows = make_rows(text_frame(x=["1"] * 6), "ttvvee", columns=X)
    rows.classes = ("no", "yes")
    rows.set_value(LABEL, pd.Series([0.0, 1.0, 0.0, 1.0, 0.0, 0.0]))
    counts = r"\(no 2, yes 0; in all: no 4, yes 2\)"
    with pytest.raises(DataError, match=rf"Split test has no row of class yes {counts}") as caught:
        check_splits(rows)
    assert "split.seed" in caught.value.hint


def test_split_codes_are_small(make_rows, text_frame):
    assert by_hash(pd.Series(["a"]), SplitSettings()).dtype == np.int8
