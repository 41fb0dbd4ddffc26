"""Our metrics over many resamples against scikit-learn, one resample at a time."""

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from lastmile.evaluate.bootstrap import bootstrap
from lastmile.evaluate.metrics import Predictions, measure, measure_once
from lastmile.pipeline.gate import METRICS


def _binary(truth: Any, chance: Any, weight: Any) -> dict[str, float]:
    said, w = (chance >= 0.5).astype(float), {"sample_weight": weight}
    return {
        "roc_auc": reference.roc_auc_score(truth, chance, **w),
        "average_precision": reference.average_precision_score(truth, chance, **w),
        "accuracy": reference.accuracy_score(truth, said, **w),
        "balanced_accuracy": reference.balanced_accuracy_score(truth, said, **w),
        "precision": reference.precision_score(truth, said, zero_division=0, **w),
        "recall": reference.recall_score(truth, said, **w),
        "f1": reference.f1_score(truth, said, zero_division=0, **w),
        "log_loss": reference.log_loss(truth, chance, labels=[0, 1], **w),
        "brier": reference.brier_score_loss(truth, chance, pos_label=1, **w),
    }


def _multiclass(truth: Any, chances: Any, weight: Any) -> dict[str, float]:
    said, w = chances.argmax(axis=1), {"sample_weight": weight}
    names = list(range(chances.shape[1]))
    areas = [reference.roc_auc_score(truth == name, chances[:, name], **w) for name in names]
    return {
        "accuracy": reference.accuracy_score(truth, said, **w),
        "balanced_accuracy": reference.balanced_accuracy_score(truth, said, **w),
        "macro_f1": reference.f1_score(
            truth, said, average="macro", labels=names, zero_division=0, **w
        ),
        "roc_auc_ovr": float(np.mean(areas)),
        "log_loss": reference.log_loss(truth, chances, labels=names, **w),
    }


def _regression(truth: Any, said: Any, weight: Any) -> dict[str, float]:
    # Repeated, not weighted: scikit-learn's weighted median is not the median of repeated rows.
    truth, said = np.repeat(truth, weight), np.repeat(said, weight)
    return {
        "r2": reference.r2_score(truth, said),
        "rmse": reference.root_mean_squared_error(truth, said),
        "mae": reference.mean_absolute_error(truth, said),
        "median_absolute_error": reference.median_absolute_error(truth, said),
    }


def _predictions(task: str, rows: int, seed: int) -> Predictions:
    random = np.random.default_rng(seed)
    if task == "regression":
        labels = random.normal(1e5, 3, rows)
        return Predictions("regression", labels, (labels + random.normal(0, 2, rows))[:, None])
    classes = 2 if task == "binary" else 3
    labels = np.r_[np.arange(classes), random.integers(0, classes, rows - classes)].astype(float)
    raw = random.random((rows, classes)) + 0.4 * (labels[:, None] == np.arange(classes))
    shares = raw / raw.sum(axis=1, keepdims=True)
    if task == "binary":
        return Predictions("binary", labels, shares[:, 1:].round(1))  # rounded: with ties
    return Predictions("multiclass", labels, shares)


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), rows=st.integers(6, 60))
def test_every_metric_of_every_resample_is_scikit_learns(task: str, seed: int, rows: int) -> None:
    predictions = _predictions(task, rows, seed)
    random = np.random.default_rng(seed)
    counts = np.ones((3, rows)) + random.integers(0, 4, (3, rows))
    counts[1:, 6:] -= 1  # rows left out, but no class
    found = measure(predictions, counts)
    assert list(found) == list(METRICS[task])
    for i, weight in enumerate(counts):
        score = predictions.scores if task == "multiclass" else predictions.scores[:, 0]
        oracle = {"binary": _binary, "multiclass": _multiclass, "regression": _regression}[task]
        expected = oracle(predictions.labels, score, weight.astype(int))
        for name, value in expected.items():
            assert found[name][i] == pytest.approx(value, rel=1e-9, abs=1e-9), name


def test_what_needs_both_classes_is_undefined_with_one() -> None:
    found = measure_once(Predictions("binary", np.zeros(5), np.full((5, 1), 0.2)))
    assert all(np.isnan(found[name]) for name in ("roc_auc", "balanced_accuracy", "recall"))


def test_a_class_without_rows_leaves_the_averages_over_classes_undefined() -> None:
    scores = np.full((4, 3), 1 / 3)
    found = measure_once(Predictions("multiclass", np.array([0.0, 0.0, 1.0, 1.0]), scores))
    assert all(np.isnan(found[name]) for name in ("balanced_accuracy", "macro_f1", "roc_auc_ovr"))


def test_a_constant_target_has_no_r2() -> None:
    found = measure_once(Predictions("regression", np.full(5, 3.3), np.full((5, 1), 3.0)))
    assert np.isnan(found["r2"])
    assert found["mae"] == pytest.approx(0.3)


def test_a_model_that_never_says_yes_has_precision_zero() -> None:
    found = measure_once(Predictions("binary", np.array([0.0, 1.0]), np.array([[0.1], [0.2]])))
    assert found["precision"] == found["f1"] == 0


def test_the_interval_holds_the_value_and_is_the_same_every_time() -> None:
    predictions = _predictions("binary", 200, seed=4)
    value, intervals = measure_once(predictions), bootstrap(predictions)
    assert intervals == bootstrap(predictions)
    assert set(intervals.ends) == set(METRICS["binary"])
    for name, (low, high) in intervals.ends.items():
        assert low <= value[name] <= high, name
        assert high > low
    assert (intervals.used, intervals.skipped) == (500, 0)


def test_the_interval_of_a_mean_is_the_one_that_theory_gives() -> None:
    random = np.random.default_rng(0)
    error = random.normal(0, 1, 400)
    labels = random.normal(0, 9, 400)
    predictions = Predictions("regression", labels, (labels + error)[:, None])
    low, high = bootstrap(predictions, resamples=2000).ends["mae"]
    deviation = np.abs(error).std() / 20
    assert high - low == pytest.approx(2 * 1.96 * deviation, rel=0.1)


def test_resamples_without_a_class_are_skipped_and_counted() -> None:
    labels = np.zeros(30)
    labels[0] = 1
    intervals = bootstrap(Predictions("binary", labels, np.linspace(0, 1, 30)[:, None]))
    assert intervals.used + intervals.skipped == 500
    assert 120 < intervals.skipped < 250  # (29/30)^30 = 36 %


def test_with_too_few_usable_resamples_there_is_no_interval() -> None:
    intervals = bootstrap(Predictions("binary", np.zeros(30), np.linspace(0, 1, 30)[:, None]))
    assert intervals.ends == {}
    assert intervals.skipped == 500


def test_many_rows_are_resampled_in_blocks_that_fit_into_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from lastmile.evaluate import bootstrap as module

    predictions = _predictions("multiclass", 60, seed=1)
    whole = bootstrap(predictions)
    monkeypatch.setattr(module, "CELLS", 60 * 7)
    for name, ends in bootstrap(predictions).ends.items():
        assert ends == pytest.approx(whole.ends[name], rel=1e-12), name


def test_no_metric_warns() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        measure_once(Predictions("binary", np.array([1.0]), np.array([[0.0]])))
