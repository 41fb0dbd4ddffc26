"""From a dataset to what the workers read: encoded rows, their labels and what each row counts."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lastmile.artefacts.dataset import Dataset, Split, SplitName, read_dataset, read_split
from lastmile.errors import DataError
from lastmile.features.schema import Batch, RecordError, Schema
from lastmile.features.transform import Cleaning, Encoding, Target, Transform

if TYPE_CHECKING:
    from lastmile.pipeline.train import Train

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Examples:
    """One split, encoded."""

    features: Floats
    """(rows, width)"""
    labels: Floats
    """(rows, 1): class numbers, or the standardised target."""
    weights: Floats
    """(rows,): what each row counts in the loss."""

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Prepared:
    """All that training reads of a dataset."""

    dataset: Dataset
    transform: Transform
    train: Examples
    validation: Examples


def prepare_examples(folder: Path, train: "Train") -> Prepared:
    """Read, clean and encode the training and validation splits of a verified dataset folder.

    Raises:
        DataError: There is nothing to learn from, or values are missing that no step filled in.
    """
    dataset = read_dataset(folder)
    cleaning = dataset.read_cleaning()
    raw, cleaned = {}, {}
    for name in ("train", "validation"):
        raw[name] = _read(folder, name)
        cleaned[name] = _clean(cleaning, raw[name], name)
    _refuse_few_classes(dataset, raw["train"])
    encoding = Encoding.fit(cleaned["train"], len(cleaning.flags))
    if encoding.width == 0:
        raise DataError(
            "The dataset has no column that a model could read.", "Add some to `columns`."
        )
    target = _fit_target(dataset, raw["train"])

    def encode(name: SplitName, weights: Floats) -> Examples:
        labels = (raw[name].labels - target.mean) / target.scale
        return Examples(encoding(cleaned[name]), labels.astype(np.float32).reshape(-1, 1), weights)

    return Prepared(
        dataset,
        Transform(cleaning, encoding, target),
        encode("train", row_weights(dataset, raw["train"], train)),
        encode("validation", np.ones(len(raw["validation"]), dtype=np.float32)),
    )


def row_weights(dataset: Dataset, split: Split, train: "Train") -> Floats:
    """Return what each row counts; `balanced` is rows / (classes * rows of the class).

    Raises:
        DataError: A weight is given for something that is no class.
    """
    wanted, classes = train.class_weights, dataset.classes
    if wanted is None or classes is None:
        return np.ones(len(split), dtype=np.float32)
    numbers = split.labels.astype(np.int64)
    if wanted == "balanced":
        counts = np.bincount(numbers, minlength=len(classes))
        per_class = len(split) / (np.count_nonzero(counts) * np.maximum(counts, 1))
    else:
        if unknown := sorted(set(wanted) - set(classes)):
            raise DataError(
                f"class_weights names {', '.join(unknown)}, which is no class of {dataset.pipeline}.",
                f"The classes are {', '.join(classes)}.",
            )
        per_class = np.array([wanted.get(name, 1.0) for name in classes])
    return per_class[numbers].astype(np.float32)


def _read(folder: Path, name: SplitName) -> Split:
    split = read_split(folder, name)
    if len(split) == 0:
        raise DataError(
            f"The {name} split has no rows.",
            "See the report of prepare for where the rows went; give `split` other shares or more data.",
        )
    if not np.isfinite(split.labels).all():
        raise DataError(
            f"The {name} split has {int((~np.isfinite(split.labels)).sum())} rows without a finite label.",
            "Map or drop them in prepare.",
        )
    return split


def _clean(cleaning: Cleaning, split: Split, name: str) -> Batch:
    try:
        batch = cleaning(split.batch)
    except RecordError as error:
        raise DataError(
            f"The {name} split breaks the contract that it was prepared for: {error}",
            "Prepare the dataset anew: lastmile prepare ... --force",
        ) from error
    missing = _missing(cleaning.schema, batch)
    if missing:
        column, count = missing.most_common(1)[0]
        others = ", ".join(sorted(set(missing) - {column}))
        step = "mode" if column in [c.name for c in cleaning.schema.textual] else "median"
        raise DataError(
            f"Column {column!r} has {count} missing values in the {name} split after cleaning"
            + (f" (so have {others})." if others else "."),
            f"Add a cleaning step that fills it: `- missing: {{columns: [{column}], by: {step}}}`.",
        )
    return batch


def _missing(schema: Schema, batch: Batch) -> Counter[str]:
    numbers = np.isnan(batch.numbers).sum(axis=0)
    texts = [sum(text is None for text in column) for column in batch.texts.T]
    names = [c.name for c in schema.numeric]  # flags come after them and are never missing
    counts = dict(zip(names, numbers[: len(names)].tolist(), strict=True))
    counts |= zip((c.name for c in schema.textual), texts, strict=True)
    return +Counter(counts)


def _refuse_few_classes(dataset: Dataset, split: Split) -> None:
    if dataset.classes is None:
        return
    found = np.unique(split.labels.astype(np.int64))
    if len(found) < 2:
        raise DataError(
            f"All {len(split)} rows of the training split are of class "
            f"{dataset.classes[int(found[0])]!r}: there is nothing to tell apart.",
            "See whether the label's `map` knows every spelling, or get rows of the other classes.",
        )


def _fit_target(dataset: Dataset, split: Split) -> Target:
    if dataset.task != "regression":
        return Target()
    mean, scale = float(split.labels.mean()), float(split.labels.std())
    if scale <= 1e-12 * max(1.0, abs(mean)):
        raise DataError(
            f"The target is {mean:g} in all {len(split)} rows of the training split.",
            "There is nothing to learn; see whether `label` names the right column.",
        )
    return Target(mean, scale)
