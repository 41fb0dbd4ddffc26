"""The metrics of every task, for many resamples of the rows at once.

A resample is a row of counts, how often each record was drawn; the metrics of all resamples then are
a few matrix products instead of hundreds of passes. Names and values are scikit-learn's (a test holds
each against it), with two differences: what is not defined is NaN and never a stand-in, and a class that
occurs in no record makes every metric over classes NaN.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Measures = dict[str, Floats]


@dataclass(frozen=True)
class Predictions:
    """What a model says of records, and what is true."""

    task: Literal["binary", "multiclass", "regression"]
    labels: Floats
    """(rows,): class numbers, or targets."""
    scores: Floats
    """(rows, outputs): the bundle's outputs."""
    threshold: float = 0.5
    """Binary: from this probability on the answer is class 1."""

    def on(self, rows: npt.NDArray[np.bool_]) -> "Predictions":
        """Return the predictions of some rows."""
        return Predictions(self.task, self.labels[rows], self.scores[rows], self.threshold)

    @property
    def class_count(self) -> int:
        """How many classes there are; 0 for a regression."""
        known = {"binary": 2, "regression": 0}
        return known[self.task] if self.task in known else int(self.scores.shape[1])

    @cached_property
    def is_class(self) -> Floats:
        """(rows, classes): 1 where the record is of the class."""
        return _one_hot(self.labels, self.class_count)

    @cached_property
    def answers(self) -> npt.NDArray[np.intp]:
        """(rows,): the class number that the model answers."""
        answers: npt.NDArray[np.intp] = self.scores.argmax(axis=1)
        if self.task == "binary":
            answers = (self.scores[:, 0] >= self.threshold).astype(np.intp)
        return answers

    @cached_property
    def says_class(self) -> Floats:
        """(rows, classes): 1 where the model answers the class."""
        return _one_hot(self.answers, self.class_count)

    @cached_property
    def rankings(self) -> tuple["Ranking", ...]:
        """Per output, the records from the highest score down."""
        return tuple(Ranking.of(self.scores[:, i]) for i in range(self.scores.shape[1]))


@dataclass(frozen=True)
class Ranking:
    """The order of records by a score, highest first, and where each group of equal scores starts."""

    order: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]

    @classmethod
    def of(cls, scores: Floats) -> "Ranking":
        """Rank by a score."""
        order = np.argsort(-scores, kind="stable")
        sorted_scores = scores[order]
        return cls(order, np.flatnonzero(np.r_[True, sorted_scores[1:] != sorted_scores[:-1]]))

    def group(self, counts: Floats) -> Floats:
        """Sum counts, (resamples, rows), within each group of equal scores."""
        sums: Floats = np.add.reduceat(counts[:, self.order], self.starts, axis=1)
        return sums


def measure(predictions: Predictions, counts: Floats) -> Measures:
    """Compute all metrics of the task.

    Args:
        predictions: At least one record.
        counts: (resamples, rows), how often each record counts.

    Returns:
        Per metric one value per resample, NaN where it is not defined.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return TASKS[predictions.task](predictions, counts)


def measure_once(predictions: Predictions) -> dict[str, float]:
    """Compute all metrics of the task, each record once."""
    found = measure(predictions, np.ones((1, len(predictions.labels))))
    return {name: float(values[0]) for name, values in found.items()}


def _binary(given: Predictions, counts: Floats) -> Measures:
    truth, said, chance = given.is_class[:, 1], given.says_class[:, 1], given.scores[:, 0]
    total, hits = counts.sum(axis=1), counts @ (truth * said)
    positives, alarms = counts @ truth, counts @ said
    negatives = total - positives
    recall = hits / positives
    specificity = (negatives - (alarms - hits)) / negatives
    groups = given.rankings[0].group(counts * truth), given.rankings[0].group(counts * (1 - truth))
    return {
        "roc_auc": _area(*groups),
        "average_precision": _average_precision(*groups),
        "accuracy": counts @ (truth == said) / total,
        "balanced_accuracy": (recall + specificity) / 2,
        "precision": _zero_if_none(hits, alarms),
        "recall": recall,
        "f1": _zero_if_none(2 * hits, alarms + positives),
        "log_loss": counts @ _surprise(np.where(truth == 1, chance, 1 - chance)) / total,
        "brier": counts @ (chance - truth) ** 2 / total,
    }


def _multiclass(given: Predictions, counts: Floats) -> Measures:
    truth, said = given.is_class, given.says_class
    total, sizes, answered = counts.sum(axis=1), counts @ truth, counts @ said
    hits = counts @ (truth * said)
    absent = (sizes == 0).any(axis=1)
    areas = [
        _area(ranking.group(counts * truth[:, i]), ranking.group(counts * (1 - truth[:, i])))
        for i, ranking in enumerate(given.rankings)
    ]
    right = given.scores[np.arange(len(truth)), given.labels.astype(np.int64)]
    return {
        "accuracy": counts @ (given.answers == given.labels) / total,
        "balanced_accuracy": (hits / sizes).mean(axis=1),
        "macro_f1": np.where(
            absent, np.nan, _zero_if_none(2 * hits, sizes + answered).mean(axis=1)
        ),
        "roc_auc_ovr": np.mean(areas, axis=0),
        "log_loss": counts @ _surprise(right) / total,
    }


def _regression(given: Predictions, counts: Floats) -> Measures:
    truth = (
        given.labels - given.labels.mean()
    )  # about the mean: squares of large numbers lose digits
    error = given.scores[:, 0] - given.labels
    total = counts.sum(axis=1)
    squares = counts @ error**2
    spread = counts @ truth**2 - (counts @ truth) ** 2 / total
    constant = spread <= 1e-12 * total * max(float(np.var(given.labels)), 1e-300)
    return {
        "r2": np.where(constant, np.nan, 1 - squares / spread),
        "rmse": np.sqrt(squares / total),
        "mae": counts @ np.abs(error) / total,
        "median_absolute_error": _median(np.abs(error), counts),
    }


TASKS: dict[str, Callable[[Predictions, Floats], Measures]] = {
    "binary": _binary,
    "multiclass": _multiclass,
    "regression": _regression,
}


def _one_hot(numbers: npt.NDArray[Any], count: int) -> Floats:
    """(rows,) to (rows, count), 1 where the number is the column's."""
    hot: Floats = (numbers[:, None] == np.arange(count)).astype(np.float64)
    return hot


def _area(positives: Floats, negatives: Floats) -> Floats:
    """Area under the ROC curve: how often a positive stands above a negative; a tie counts half.

    Args:
        positives: (resamples, groups), from the highest score down.
        negatives: The same of the negatives.
    """
    below = negatives.sum(axis=1, keepdims=True) - negatives.cumsum(axis=1)
    won = (positives * (below + negatives / 2)).sum(axis=1)
    area: Floats = won / (positives.sum(axis=1) * negatives.sum(axis=1))
    return area


def _average_precision(positives: Floats, negatives: Floats) -> Floats:
    """Precision at each score, averaged over the positives; arguments as for `_area`."""
    found = positives.cumsum(axis=1)
    precision = _zero_if_none(found, found + negatives.cumsum(axis=1))
    average: Floats = (positives * precision).sum(axis=1) / positives.sum(axis=1)
    return average


def _surprise(probability: Floats) -> Floats:
    """Minus the logarithm, of a probability kept away from 0 as scikit-learn does."""
    tiny = np.finfo(np.float64).eps
    surprise: Floats = -np.log(np.clip(probability, tiny, 1 - tiny))
    return surprise


def _zero_if_none(part: Floats, whole: Floats) -> Floats:
    """A share; 0 of nothing is 0, as for the precision of a model that never says yes."""
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def _median(values: Floats, counts: Floats) -> Floats:
    """Median of values that count several times each: (rows,), (resamples, rows)."""
    order = np.argsort(values, kind="stable")
    reached = counts[:, order].cumsum(axis=1)
    total = reached[:, -1:]
    low = (reached > (total - 1) // 2).argmax(axis=1)
    high = (reached > total // 2).argmax(axis=1)
    median: Floats = (values[order][low] + values[order][high]) / 2
    return median
