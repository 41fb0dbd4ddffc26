"""The champion, asked about the test rows that it has not learnt from.

A row keeps its split from night to night. Where somebody has changed the way rows are split, rows that
taught the champion may be test rows now; on those it would look better than it is.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lastmile.artefacts.dataset import Dataset, Split, SplitName, read_keys
from lastmile.artefacts.passport import Passport
from lastmile.bundle.predictor import Predictor
from lastmile.errors import ArtefactError
from lastmile.evaluate.metrics import Predictions
from lastmile.evaluate.scoring import Scored, score
from lastmile.features.schema import Batch, Schema
from lastmile.ledger.ledger import Release
from lastmile.store import ArtefactRef, Store

LEARNT_FROM: tuple[SplitName, ...] = ("train", "validation")


@dataclass(frozen=True)
class Comparison:
    """The champion's answers, and the rows that they are about."""

    rows: npt.NDArray[np.bool_]
    """(test rows,): those that the champion has not learnt from."""
    champion: Scored

    def of(self, candidate: Predictions) -> Predictions:
        """Return the candidate's answers on the same rows."""
        return candidate.on(self.rows)


def compare(store: Store, release: Release, dataset: Dataset, test: Split) -> Comparison:
    """Let the champion answer the test rows that it has not learnt from.

    Returns:
        Its answers; else the trouble: bundle, passport or dataset are missing or altered, or it reads
        other columns.
    """
    nothing = np.zeros(len(test), dtype=bool)
    try:
        rows = ~_has_learnt_from(store, release, test)
        folder = store.open_artefact(ArtefactRef(kind="train", digest=release.bundle))
        predictor = Predictor.load(folder)
    except ArtefactError as error:
        return Comparison(nothing, _trouble(error.headline))
    if difference := _difference(predictor, dataset):
        return Comparison(nothing, _trouble(f"{difference}."))
    if not rows.any():
        return Comparison(nothing, _trouble("it has learnt from every test row."))
    batch = _columns_for(predictor.transform.schema, dataset.read_cleaning().schema, test.batch)
    scored = score(predictor, Split(keys=test.keys, batch=batch, labels=test.labels))
    if scored.predictions is None:
        return Comparison(nothing, _trouble(scored.trouble or "there is no test row."))
    return Comparison(rows, Scored(scored.predictions.on(rows)))


def _has_learnt_from(store: Store, release: Release, test: Split) -> npt.NDArray[np.bool_]:
    package = store.open_artefact(ArtefactRef(kind="package", digest=release.candidate))
    passport = Passport.model_validate_json((package / "passport.json").read_bytes())
    folder = store.open_artefact(ArtefactRef(kind="prepare", digest=passport.dataset))
    learnt = {key for name in LEARNT_FROM for key in read_keys(folder, name)}
    return np.fromiter((key in learnt for key in test.keys), dtype=bool, count=len(test))


def _trouble(what: str) -> Scored:
    return Scored(None, f"The champion cannot be compared: {what}")


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
