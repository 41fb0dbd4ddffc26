"""The dataset: what preparing hands on.

Files of the artefact: `dataset.json` (this document), `train.parquet`, `validation.parquet` and
`test.parquet` (the model's columns, `KEY`, `LABEL` and, where rows were split by group, `GROUP`),
`quarantine.csv` (rows set aside, with their reason), `report.json` and `report.html`.

The columns hold values as a client of the server would send them: typed and within the contract, but a
missing value is still missing and an outlier still far out. The fitted steps of `cleaning` deal with
those, for training, evaluation and serving alike.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from lastmile.features.schema import Batch
from lastmile.features.transform import Cleaning, cleaning_from_json
from lastmile.pipeline.base import Strict

KEY = "__key__"
LABEL = "__label__"
GROUP = "__group__"
"""Which rows belong together, for whoever judges: rows of one group are no independent samples."""

SplitName = Literal["train", "validation", "test"]


class SourceRows(Strict):
    """What one source gave."""

    name: str
    kind: str
    rows: int
    digest: str
    """SHA-256 of the raw rows as they were read."""


class SplitRule(Strict):
    """How it was decided which row learns, which stops the learning and which judges."""

    by: Literal["stratified", "group", "time"]
    column: str | None
    """The group's or the time's column."""
    key: str | None
    """The column that names a row; None: a row is named by the values that the model reads."""
    seed: int | None
    """Of the hash; None for a split by time."""
    shares: dict[SplitName, float] | None
    """The shares asked for; None for a split by time."""
    moments: dict[Literal["validation_from", "test_from"], str] | None
    """The first moment of validation and of test; None but for a split by time."""


class Dataset(Strict):
    """`dataset.json`."""

    pipeline: str
    task: Literal["binary", "multiclass", "regression"]
    classes: tuple[str, ...] | None
    """How the classes are called, in the order of their numbers; None for a regression."""
    cleaning: dict[str, Any]
    """Columns and fitted cleaning steps, as `lastmile.features.transform.cleaning_to_json` gives them."""
    rows: dict[SplitName, int]
    quarantined: int
    sources: tuple[SourceRows, ...]
    split: SplitRule | None = None
    """None: a dataset of before this was written down."""

    def read_cleaning(self) -> Cleaning:
        """Return the schema and the fitted cleaning steps."""
        return cleaning_from_json(self.cleaning)


@dataclass(frozen=True)
class Split:
    """One part of a dataset: records not yet cleaned, and what the model should tell of them."""

    keys: npt.NDArray[np.object_]
    batch: Batch
    """The schema's columns."""
    labels: npt.NDArray[np.float64]
    """Class numbers, or the target itself for a regression."""
    groups: npt.NDArray[np.object_] | None = None
    """Each row's group, where rows were split by group."""

    def __len__(self) -> int:
        return len(self.labels)


def read_dataset(folder: Path) -> Dataset:
    """Read the document of a verified artefact folder."""
    return Dataset.model_validate_json((folder / "dataset.json").read_bytes())


def read_split(folder: Path, name: SplitName) -> Split:
    """Read one part of a verified artefact folder."""
    import pyarrow.parquet as pq

    schema = read_dataset(folder).read_cleaning().schema
    table = pq.read_table(folder / f"{name}.parquet")
    columns: dict[str, npt.NDArray[Any]] = {}
    for column in schema.numeric:  # integers and booleans are stored as such, null where missing
        columns[column.name] = table[column.name].cast("float64").to_numpy()
    for column in schema.textual:
        columns[column.name] = np.array(table[column.name].to_pylist(), dtype=object)
    return Split(
        keys=np.array(table[KEY].to_pylist(), dtype=object),
        batch=schema.from_columns(columns, table.num_rows),
        labels=table[LABEL].to_numpy().astype(np.float64),
        groups=(
            np.array(table[GROUP].to_pylist(), dtype=object)
            if GROUP in table.column_names
            else None
        ),
    )


def read_keys(folder: Path, name: SplitName) -> list[str]:
    """Read the keys of one part of a verified artefact folder."""
    import pyarrow.parquet as pq

    keys: list[str] = pq.read_table(folder / f"{name}.parquet", columns=[KEY])[KEY].to_pylist()
    return keys


def read_records(folder: Path, name: SplitName) -> list[dict[str, Any]]:
    """Read one part as records, as a client would send them; None where a value is missing."""
    import pyarrow.parquet as pq

    names = read_dataset(folder).read_cleaning().schema.names
    records: list[dict[str, Any]] = (
        pq.read_table(folder / f"{name}.parquet").select(list(names)).to_pylist()
    )
    return records


def write_dataset(folder: Path, dataset: Dataset) -> None:
    """Write the document."""
    text = json.dumps(dataset.model_dump(mode="json"), indent=1, sort_keys=True)
    (folder / "dataset.json").write_text(text)
