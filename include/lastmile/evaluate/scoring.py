"""What a bundle says of the test split, and what is in the way where it says nothing."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lastmile.artefacts.dataset import Dataset, Split
from lastmile.bundle.predictor import Predictor
from lastmile.errors import ArtefactError
from lastmile.evaluate.metrics import Predictions
from lastmile.features.schema import Batch, RecordError, Schema
from lastmile.store import ArtefactRef, Store


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


def score_champion(store: Store, digest: str, dataset: Dataset, split: Split) -> Scored:
    """Let the champion answer the same rows.

    Returns:
        Predictions; else the trouble: its bundle is missing or altered, or it reads other columns.
    """
    try:
        predictor = Predictor.load(store.open_artefact(ArtefactRef(kind="train", digest=digest)))
    except ArtefactError as error:
        return Scored(None, f"The champion cannot be compared: {error.headline}")
    if difference := _difference(predictor, dataset):
        return Scored(None, f"The champion cannot be compared: {difference}.")
    batch = _columns_for(predictor.transform.schema, dataset.read_cleaning().schema, split.batch)
    scored = score(predictor, Split(keys=split.keys, batch=batch, labels=split.labels))
    if scored.trouble is not None:
        return Scored(None, f"The champion cannot be compared: {scored.trouble}")
    return scored


def _difference(predictor: Predictor, dataset: Dataset) -> str | None:
    """Say what keeps a model from answering a dataset's rows; None where nothing does."""
    signature = predictor.signature
    if signature.task != dataset.task:
        return f"its task is {signature.task}, now it is {dataset.task}"
    if signature.classes != dataset.classes:
        return f"its classes are {signature.classes}, now they are {dataset.classes}"
    known = {column.name: column.kind for column in dataset.read_cleaning().schema.columns}
    for column in predictor.transform.schema.columns:
        if column.name not in known:
            return f"it reads the column {column.name!r}, which the data no longer has"
        if column.kind.is_numeric != known[column.name].is_numeric:
            return f"it reads {column.name!r} as {column.kind}, now it is {known[column.name]}"
    return None


def _columns_for(wanted: Schema, given: Schema, batch: Batch) -> Batch:
    return wanted.from_columns(given.to_columns(batch), len(batch))


def baseline(dataset: Dataset, train_labels: npt.NDArray[np.float64], split: Split) -> Predictions:
    """Predict without looking: the classes' shares in the training split, or its mean.

    Args:
        dataset: Names the task and the classes.
        train_labels: At least one.
        split: The rows to predict.
    """
    if dataset.task == "regression":
        constant = np.array([train_labels.mean()])
    elif dataset.task == "binary":
        constant = np.array([np.mean(train_labels == 1)])
    else:
        numbers = np.arange(len(dataset.classes or ()))
        constant = (train_labels[:, None] == numbers).mean(axis=0)
    scores = np.tile(constant, (len(split), 1))
    return Predictions(dataset.task, split.labels, scores)
