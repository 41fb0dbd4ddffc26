"""What can be had without looking: the best of the models that ignore their input."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lastmile.artefacts.dataset import Dataset, Split
from lastmile.evaluate.metrics import Floats, Predictions, measure_once
from lastmile.pipeline.gate import METRICS


@dataclass(frozen=True)
class Baseline:
    """Per metric the trivial model that does best on the test split, and how well it does."""

    models: dict[str, Predictions]
    figures: dict[str, float]


def baseline(
    dataset: Dataset, train_labels: npt.NDArray[np.float64], test: Split, threshold: float
) -> Baseline:
    """Predict without looking.

    Binary: the classes' shares in the training split, always no, always yes. Multiclass: the shares.
    Regression: mean and median of the training split.

    Args:
        dataset: Names the task and the classes.
        train_labels: At least one.
        test: The rows to predict, at least one.
        threshold: Binary: the candidate's own, from which on the answer is yes.
    """
    models = [
        Predictions(dataset.task, test.labels, np.tile(constant, (len(test), 1)), threshold)
        for constant in _constants(dataset, train_labels)
    ]
    measured = [(model, measure_once(model)) for model in models]
    best: dict[str, Predictions] = {}
    figures: dict[str, float] = {}
    for name, more_is_better in METRICS[dataset.task].items():
        sign = 1 if more_is_better else -1
        known = [(model, found[name]) for model, found in measured if np.isfinite(found[name])]
        if known:
            best[name], figures[name] = max(known, key=lambda one: sign * one[1])
    return Baseline(best, figures)


def _constants(dataset: Dataset, labels: npt.NDArray[np.float64]) -> list[Floats]:
    if dataset.task == "regression":
        return [np.array([labels.mean()]), np.array([np.median(labels)])]
    if dataset.task == "binary":
        return [np.array([chance]) for chance in (np.mean(labels == 1), 0.0, 1.0)]
    numbers = np.arange(len(dataset.classes or ()))
    return [(labels[:, None] == numbers).mean(axis=0)]
