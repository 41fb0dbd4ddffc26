"""The files of the dataset artefact."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lastmile.artefacts.dataset import GROUP, KEY, LABEL, Dataset, SourceRows, write_dataset
from lastmile.features.schema import ColumnKind
from lastmile.features.transform import cleaning_to_json
from lastmile.pipeline.definition import Pipeline
from lastmile.prepare.clean import Cleaned
from lastmile.prepare.rows import SPLITS, Rows
from lastmile.prepare.split import split_rule

if TYPE_CHECKING:
    from pandas import DataFrame, Series

ROW_GROUP_ROWS = 1 << 20
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
"""A cell that starts so is a formula to a spreadsheet; on export it gets a `'` before it (OWASP)."""


def write_splits(folder: Path, rows: Rows) -> None:
    """Write the three Parquet files: the model's columns, `KEY`, `LABEL` and, by group, `GROUP`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    for code, split in enumerate(SPLITS):
        part = rows.frame[rows.splits == code]
        columns = {c.name: _arrow(part[c.name], c.kind) for c in rows.schema.columns}
        columns[KEY] = pa.array(part[KEY].tolist(), pa.string())
        if GROUP in part.columns:
            columns[GROUP] = pa.array(part[GROUP].tolist(), pa.string())
        columns[LABEL] = pa.array(part[LABEL].to_numpy(dtype=np.float64), pa.float64())
        pq.write_table(
            pa.table(columns),
            folder / f"{split}.parquet",
            compression="zstd",
            row_group_size=ROW_GROUP_ROWS,
        )


def _arrow(values: "Series[Any]", kind: ColumnKind) -> Any:
    import pyarrow as pa

    if kind is ColumnKind.CATEGORY:
        return pa.array(values.astype("str"), pa.string(), from_pandas=True)
    numbers = values.to_numpy(dtype=np.float64)
    missing = np.isnan(numbers)
    if kind is ColumnKind.NUMBER:
        return pa.array(numbers, pa.float64(), mask=missing)
    known = np.where(missing, 0.0, numbers)
    if kind is ColumnKind.BOOLEAN:
        return pa.array(known == 1.0, pa.bool_(), mask=missing)
    return pa.array(known.astype(np.int64), pa.int64(), mask=missing)


def write_quarantine(file: Path, rows: Rows) -> None:
    """Write the rows set aside: step and reason, where they stand in the sources, values as they came."""
    import pandas as pd

    nothing = pd.DataFrame({"step": [], "reason": []}, index=pd.Index([], dtype="int64"))
    aside = pd.concat(rows.quarantined).sort_index() if rows.quarantined else nothing
    told = pd.concat([aside, rows.origin.places(aside.index)], axis="columns")
    raw = rows.origin.raw(aside.index, rows.names_read)
    raw = raw.rename(columns={name: f"{name}_" for name in raw.columns if name in told.columns})
    escape_formulas(pd.concat([told, raw], axis="columns")).to_csv(file, index=False)


def escape_formulas(frame: "DataFrame") -> "DataFrame":
    """Return a frame whose texts no spreadsheet takes for formulas; numbers stay numbers."""
    import pandas as pd

    escaped = {}
    for name in frame.columns:
        values = frame[name]
        if isinstance(values.dtype, pd.StringDtype):
            is_formula = values.str.startswith(FORMULA_STARTS, na=False)
            is_formula &= pd.to_numeric(values, errors="coerce").isna()
            values = values.where(~is_formula, "'" + values)
        escaped[name] = values
    return pd.DataFrame(escaped)


def write_document(
    folder: Path, pipeline: Pipeline, cleaned: Cleaned, sources: tuple[SourceRows, ...]
) -> Dataset:
    """Write `dataset.json` and return it."""
    rows = cleaned.rows
    dataset = Dataset(
        pipeline=pipeline.name,
        task=pipeline.task,
        classes=rows.classes,
        cleaning=cleaning_to_json(cleaned.cleaning),
        rows={
            "train": int((rows.splits == 0).sum()),
            "validation": int((rows.splits == 1).sum()),
            "test": int((rows.splits == 2).sum()),
        },
        quarantined=rows.quarantine_size,
        sources=sources,
        split=split_rule(pipeline.data),
    )
    write_dataset(folder, dataset)
    return dataset
