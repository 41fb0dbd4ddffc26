import numpy as np
import pandas as pd
import pytest

from lastmile.errors import PipelineFileError
from lastmile.features.steps import BoundsStep
from lastmile.prepare.cleaning.contract import ContractCheck
from lastmile.prepare.cleaning.missing import Missing
from lastmile.prepare.cleaning.outliers import Outliers

NUMBER = {"x": {"type": "number"}}
# Quartiles 2 and 4 by linear interpolation, so Tukey's fences are -1 and 7.
TRAINING = ["1", "2", "3", "4", "5"]


def test_clip_uses_bounds_of_the_training_split_everywhere(make_rows, apply, text_frame):
    rows = make_rows(text_frame(x=[*TRAINING, "100", "-50"]), "tttttev", columns=NUMBER)
    report = apply(Outliers(columns=("x",)), rows)
    assert rows.value("x").tolist() == [1, 2, 3, 4, 5, 7, -1]
    assert rows.frame["x"].tolist() == [1, 2, 3, 4, 5, 100, -50]
    assert report.clipped == {"x": 2}
    assert rows.steps == [BoundsStep(bounds={"x": (-1.0, 7.0)}, action="clip")]


def test_drop_takes_training_rows_only_and_clips_the_others(make_rows, apply, text_frame):
    # Quartiles 2.25 and 4.75, so the fences are -1.5 and 8.5.
    rows = make_rows(text_frame(x=[*TRAINING, "100", "100"]), "tttttte", columns=NUMBER)
    report = apply(Outliers(columns=("x",), action="drop"), rows)
    assert rows.frame["x"].tolist() == [1, 2, 3, 4, 5, 100]
    assert rows.value("x").tolist() == [1, 2, 3, 4, 5, 8.5]
    assert rows.splits.tolist() == [0, 0, 0, 0, 0, 2]
    assert report.dropped == 1
    assert rows.steps == [BoundsStep(bounds={"x": (-1.5, 8.5)}, action="clip")]


def test_flag_leaves_the_value(make_rows, apply, text_frame):
    rows = make_rows(text_frame(x=[*TRAINING, "100"]), "ttttte", columns=NUMBER)
    report = apply(Outliers(columns=("x",), action="flag"), rows)
    assert rows.value("x").tolist() == [1, 2, 3, 4, 5, 100]
    assert report.flagged == {"x": 1}
    assert rows.steps == [BoundsStep(bounds={"x": (-1.0, 7.0)}, action="flag")]


def test_zscore_bounds_are_mean_and_population_deviation():
    values = np.array([2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0])  # mean 5, deviation 2
    assert Outliers(columns=("x",), rule="zscore").bounds(values) == (-1.0, 11.0)
    assert Outliers(columns=("x",), rule="zscore", factor=1).bounds(values) == (3.0, 7.0)


def test_bounds_without_width_do_nothing_and_say_so(make_rows, apply, text_frame):
    rows = make_rows(text_frame(x=["0", "0", "0", "0", "9"]), "ttttt", columns=NUMBER)
    report = apply(Outliers(columns=("x",)), rows)
    assert rows.value("x").tolist() == [0, 0, 0, 0, 9]
    assert rows.steps == []
    assert report.notes == ["x: most values are equal; iqr says nothing"]


def test_missing_values_stay_missing(make_rows, apply, text_frame):
    rows = make_rows(text_frame(x=[*TRAINING, None]), "tttttt", columns=NUMBER)
    apply(Outliers(columns=("x",), action="drop"), rows)
    assert rows.value("x").isna().tolist() == [False] * 5 + [True]


def test_a_later_step_is_fitted_on_the_values_as_cleaned_so_far(make_rows, apply, text_frame):
    frame = text_frame(x=[*TRAINING, "1000", None])
    rows = make_rows(frame, "ttttttt", columns=NUMBER)
    apply(Outliers(columns=("x",), rule="zscore", factor=1, action="clip"), rows)
    ceiling = rows.steps[0].bounds["x"][1]
    assert 300 < ceiling < 1000
    report = apply(Missing(columns=("x",), by="median"), rows)
    apply(Outliers(columns=("x",), rule="zscore", factor=100), rows)
    assert report.fitted == {"x": 3.5}
    known = pd.Series([1, 2, 3, 4, 5, ceiling, 3.5])
    low, high = rows.steps[2].bounds["x"]
    assert (low + high) / 2 == pytest.approx(known.mean())


def test_a_category_has_no_outliers(make_rows, apply, text_frame):
    rows = make_rows(text_frame(c=["a"]), "t", columns={"c": {"type": "category"}})
    with pytest.raises(PipelineFileError, match="'c' is of type category, not integer or number"):
        apply(Outliers(columns=("c",)), rows)


@pytest.mark.parametrize("action", ["clip", "drop"])
def test_a_whole_number_is_clipped_to_a_whole_number(make_rows, apply, text_frame, action):
    # Quartiles 2.25 and 4.75, so the fences are -1.5 and 8.5.
    columns = {"x": {"type": "integer"}}
    rows = make_rows(text_frame(x=[*TRAINING, "100", "-9", "100"]), "ttttttee", columns=columns)
    report = apply(Outliers(columns=("x",), action=action), rows)
    assert report.fitted == {"x": [-1.0, 8.0]}
    assert rows.value("x").tolist()[-2:] == [-1, 8]
    assert not apply(ContractCheck(), rows).quarantined
