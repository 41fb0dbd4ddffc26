"""Golden predictions: a few test records and the bundle's answers, asked again before every release."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from lastmile.artefacts.verdict import Golden
from lastmile.bundle.predictor import Predictor

RECORDS = 20
MARGIN = 1e-4
"""A record whose probability is closer to the decision threshold than this is left out: its label may
tip over with the last digit of a float.
"""


def make_golden(
    predictor: Predictor,
    records: list[dict[str, Any]],
    scores: npt.NDArray[np.float64],
    count: int = RECORDS,
) -> Golden:
    """Choose records spread over the range of scores, and keep the predictor's answers.

    Args:
        predictor: The bundle.
        records: The test records, as a client would send them.
        scores: (rows, outputs), the model's outputs for them.
        count: How many records at most.
    """
    chosen = [_plain(records[i]) for i in choose_rows(predictor, scores, count)]
    answers = predictor.predict(chosen) if chosen else []
    return Golden(records=tuple(chosen), answers=tuple(answers))


def choose_rows(
    predictor: Predictor, scores: npt.NDArray[np.float64], count: int = RECORDS
) -> list[int]:
    """Return the rows at even steps from the lowest to the highest score."""
    signature = predictor.signature
    if signature.task == "binary":
        rank = scores[:, 0]
        clear = np.flatnonzero(np.abs(rank - signature.decision_threshold) > MARGIN)
    elif signature.task == "multiclass":  # class by class, from hesitant to certain
        rank = scores.argmax(axis=1) + scores.max(axis=1)
        top = np.sort(scores, axis=1)
        clear = np.flatnonzero(top[:, -1] - top[:, -2] > MARGIN)
    else:
        rank, clear = scores[:, 0], np.arange(len(scores))
    candidates = clear if len(clear) else np.arange(len(rank))
    in_order = candidates[np.argsort(rank[candidates], kind="stable")]
    steps = np.linspace(0, len(in_order) - 1, min(count, len(in_order))).round().astype(int)
    return [int(in_order[i]) for i in steps]


def _plain(record: dict[str, Any]) -> dict[str, Any]:
    """Return the record in JSON's values: a missing number is null."""
    return {
        name: None if isinstance(value, float) and math.isnan(value) else value
        for name, value in record.items()
    }
