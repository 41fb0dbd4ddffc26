"""What a bundle says of the test split, and what is in the way where it says nothing."""

from dataclasses import dataclass

import numpy as np

from lastmile.artefacts.dataset import Split
from lastmile.bundle.predictor import Predictor
from lastmile.evaluate.metrics import Predictions
from lastmile.features.schema import RecordError


@dataclass(frozen=True)
class Scored:
    """A model's answers, or why there are none."""

    predictions: Predictions | None
    trouble: str | None = None


def score(predictor: Predictor, split: Split) -> Scored:
    """Let a bundle answer a split.

    Returns:
        Predictions with finite scores; else the trouble, as a sentence.
    """
    if not len(split):
        return Scored(None)
    try:
        scores = predictor.score_batch(split.batch)
    except RecordError as error:
        key = split.keys[error.row]
        return Scored(None, f"It has no answer for test row {key}: {error.column}: {error.reason}.")
    width = predictor.signature.width
    if scores.shape != (len(split), width):
        shape = f"{scores.shape}, where {(len(split), width)} is expected"
        return Scored(None, f"It answered with numbers of shape {shape}.")
    unusable = int((~np.isfinite(scores)).any(axis=1).sum())
    if unusable:
        return Scored(
            None, f"It answered {unusable} of {len(split)} test rows with no finite number."
        )
    return Scored(
        Predictions(
            predictor.signature.task,
            split.labels,
            scores.astype(np.float64),
            predictor.signature.decision_threshold,
        )
    )
