import pandas as pd
import pytest

from lastmile.artefacts.dataset import LABEL
from lastmile.errors import DataError, PipelineFileError
from lastmile.prepare.cleaning.label import LabelMapping

X = {"x": {"type": "number"}}


@pytest.fixture
def label(make_rows, apply):
    """Map labels and return rows and report."""

    def do(labels, task="binary", **settings):
        frame = pd.DataFrame({"x": range(len(labels)), "y": labels})
        rows = make_rows(frame, task=task, columns=X, label={"column": "y", **settings})
        return rows, apply(LabelMapping(), rows)

    return do


def test_binary_by_map_to_class_numbers(label):
    rows, report = label(
        ["Y", "N", "maybe", None], map={"Y": 1, "N": 0}, classes=["repaid", "defaulted"]
    )
    assert rows.classes == ("repaid", "defaulted")
    assert rows.frame[LABEL].tolist() == [1.0, 0.0]
    assert report.quarantined == {"y: no label": 1, "y: no known label": 1}


def test_binary_by_map_to_class_names(label):
    rows, _ = label(
        ["M", "B"], map={"M": "malignant", "B": "benign"}, classes=["benign", "malignant"]
    )
    assert rows.frame[LABEL].tolist() == [1.0, 0.0]


def test_binary_without_map_takes_the_labels_sorted(label):
    rows, _ = label(["yes", "no", "yes"])
    assert rows.classes == ("no", "yes")
    assert rows.frame[LABEL].tolist() == [1.0, 0.0, 1.0]


@pytest.mark.parametrize("labels", [[1, 0], [1.0, 0.0], ["1", "0"]])
def test_zero_and_one_are_themselves(label, labels):
    rows, _ = label(labels)
    assert rows.classes == ("0", "1")
    assert rows.frame[LABEL].tolist() == [1.0, 0.0]


def test_multiclass_numbers_are_sorted_as_numbers(label):
    rows, _ = label([10, 2, 1], task="multiclass")
    assert rows.classes == ("1", "2", "10")
    assert rows.frame[LABEL].tolist() == [2.0, 1.0, 0.0]


def test_multiclass_as_given_sends_others_to_quarantine(label):
    rows, report = label(["c", "a", "x"], task="multiclass", classes=["c", "b", "a"])
    assert rows.frame[LABEL].tolist() == [0.0, 2.0]
    assert report.quarantined == {"y: no known label": 1}


def test_regression_takes_finite_numbers(label):
    rows, report = label(["1.5", " 2 ", "inf", "much", None], task="regression")
    assert rows.classes is None
    assert rows.frame[LABEL].tolist() == [1.5, 2.0]
    assert report.quarantined == {"y: no label": 1, "y: not a number": 2}


def test_regression_by_map(label):
    rows, _ = label(["low", "high"], task="regression", map={"low": 0.1, "high": 9})
    assert rows.frame[LABEL].tolist() == [0.1, 9.0]


def test_a_single_class_is_an_error(label):
    with pytest.raises(DataError, match="All 2 rows have the same label, y = no"):
        label(["no", "no"])


def test_a_label_that_never_maps_names_what_was_seen_and_what_is_near(label):
    with pytest.raises(DataError) as caught:
        label(["Yes ", "Yes ", "NO"], map={"yes": 1, "no": 0})
    assert "'Yes ' (2), 'NO' (1)" in caught.value.headline
    assert "'Yes ' looks like 'yes'" in caught.value.hint
    assert "`text` step" in caught.value.hint


def test_three_spellings_for_two_classes_are_an_error(label):
    with pytest.raises(DataError, match=r"3 spellings, .* 'Y' \(2\)"):
        label(["Y", "Y", "N", "n"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"map": {"Y": "good"}, "classes": ["bad", "worse"]}, "leads to good, which is no class"),
        ({"map": {"Y": 1, "N": 0, "?": 2}}, "names 0, 1, 2"),
    ],
)
def test_a_map_that_does_not_fit_the_task_is_refused(label, settings, message):
    with pytest.raises(PipelineFileError, match=message):
        label(["Y", "N"], **settings)


@pytest.mark.parametrize("settings", [{}, {"map": {"0": 0, "1": 1}}, {"classes": ["0", "1"]}])
def test_a_whole_number_with_a_point_is_that_number(label, settings):
    """Pandas writes a column of 0 and 1 with a gap as 0.0 and 1.0."""
    rows, report = label(["1.0", "0.0", "1", None], **settings)
    assert rows.classes == ("0", "1")
    assert rows.frame[LABEL].tolist() == [1.0, 0.0, 1.0]
    assert report.quarantined == {"y: no label": 1}


def test_a_map_may_tell_one_from_one_point_zero(label):
    rows, _ = label(["1.0", "1"], map={"1.0": 0, "1": 1})
    assert rows.frame[LABEL].tolist() == [0.0, 1.0]


def test_many_classes_are_told_by_their_number(label):
    rows, report = label([f"c{i}" for i in range(600)], task="multiclass")
    assert len(rows.classes) == 600
    assert report.about.startswith("0 is c0, 1 is c1, ")
    assert report.about.endswith(" and 592 more")


def test_a_text_step_that_broke_the_map_is_named(make_rows, apply):
    frame = pd.DataFrame({"x": [1, 2], "y": ["Y", "N"]})
    rows = make_rows(
        frame,
        columns=X,
        label={"column": "y", "map": {"Y": 1, "N": 0}},
        clean=[{"text": {"columns": ["y"]}}],
    )
    apply(rows.data.clean[0].settings, rows)
    with pytest.raises(DataError) as caught:
        apply(LabelMapping(), rows)
    assert "'y' looks like 'Y'" in caught.value.hint
    assert "the `text` step made it so, write it so in `label.map`" in caught.value.hint


def test_a_slip_in_the_map_is_named_as_one(label):
    with pytest.raises(DataError) as caught:
        label(["yes", "yes"], map={"yse": 1, "no": 0})
    assert "'yes' looks like 'yse': a slip?" in caught.value.hint
