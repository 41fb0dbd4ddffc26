"""Which row learns, which stops the learning, which judges: by a seeded hash that no other row moves."""

from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lastmile.artefacts.dataset import GROUP, KEY, LABEL, SplitRule
from lastmile.errors import DataError, PipelineFileError
from lastmile.pipeline.data import Data, SplitSettings
from lastmile.prepare.columns import listed, make_typed
from lastmile.prepare.rows import SPLITS, TEST, TRAIN, VALIDATION, Rows, StepReport
from lastmile.prepare.sources.acquired import canonical_text

if TYPE_CHECKING:
    from pandas import Series

MISSING = "\0"
BETWEEN = "\x1f"
MOST_SHOWN = 12
"""Classes that a message names."""


def assign_splits(rows: Rows, report: StepReport) -> None:
    """Decide each row's split, once; rows whose group or time is missing go to quarantine.

    Raises:
        DataError: More rows go to quarantine than the pipeline allows.
        PipelineFileError: The two moments of a split by time cannot be used.
    """
    settings = rows.data.split
    report.about = f"{settings.by}{f' by {settings.column}' if settings.column else ''}"
    if KEY not in rows.frame.columns:
        rows.set_value(KEY, name_rows(rows))
    if settings.by == "time":
        moments = make_typed(rows.frame[str(settings.column)], "timestamp").column
        rows.set_aside([(moments.isna().to_numpy(), f"{settings.column}: no time")], report)
        rows.split_codes = by_time(moments.loc[rows.frame.index], settings)
        return
    if settings.by == "group":
        groups = canonical_text(rows.frame[str(settings.column)])
        rows.set_aside([(groups.isna().to_numpy(), f"{settings.column}: no group")], report)
        rows.set_value(GROUP, groups.loc[rows.frame.index])
        rows.split_codes = by_hash(rows.frame[GROUP], settings)
        return
    rows.split_codes = by_hash(rows.frame[KEY].fillna(MISSING), settings)


def split_rule(data: Data) -> SplitRule:
    """Return how rows are parted, for those who judge the model and who explain it."""
    settings = data.split
    is_time = settings.by == "time"
    shares = {"train": settings.train, "validation": settings.validation, "test": settings.test}
    moments = {"validation_from": settings.validation_from, "test_from": settings.test_from}
    return SplitRule.model_validate(
        {
            "by": settings.by,
            "column": settings.column,
            "key": data.key,
            "seed": None if is_time else settings.seed,
            "shares": None if is_time else shares,
            "moments": moments if is_time else None,
        }
    )


def by_hash(names: "Series[str]", settings: SplitSettings) -> npt.NDArray[np.int8]:
    """Return the split of each name: the name's hash, as a number from 0 to 1, against the shares.

    BLAKE2b (RFC 7693), keyed with the seed: the same on every machine and in every version.
    """
    import pandas as pd

    codes, uniques = pd.factorize(names)
    seed = f"lastmile-split-{settings.seed}".encode()
    digests = b"".join(
        blake2b(name.encode(), digest_size=8, key=seed).digest() for name in uniques.tolist()
    )
    position = np.frombuffer(digests, dtype=">u8").astype(np.float64) / 2.0**64
    limits = np.array([settings.train, settings.train + settings.validation])
    found = np.searchsorted(limits, position, side="right").astype(np.int8)
    return found[codes]


def by_time(moments: "Series[Any]", settings: SplitSettings) -> npt.NDArray[np.int8]:
    """Return the split of each moment: before `validation_from`, before `test_from`, or after."""
    validation = _moment("validation_from", str(settings.validation_from))
    test = _moment("test_from", str(settings.test_from))
    if test <= validation:
        raise PipelineFileError(
            f"split: test_from {settings.test_from} is not after validation_from "
            f"{settings.validation_from}.",
            "The past teaches, then comes validation, then the newest rows judge.",
        )
    found = np.full(len(moments), TRAIN, dtype=np.int8)
    found[(moments >= validation).to_numpy()] = VALIDATION
    found[(moments >= test).to_numpy()] = TEST
    return found


def _moment(name: str, text: str) -> Any:
    import pandas as pd

    try:
        return pd.to_datetime(text, utc=True, format="ISO8601")
    except ValueError as error:
        raise PipelineFileError(
            f"split: {name} is {text!r}, which is no ISO 8601 time.", "Write it as 2026-01-31."
        ) from error


def name_rows(rows: Rows) -> "Series[str]":
    """Name rows without a key by their values; equal rows have one name and so one split.

    The label is left out, so that a corrected label moves no row.
    """
    import pandas as pd

    columns = [
        canonical_text(rows.frame[name]).fillna(MISSING).tolist() for name in rows.schema.names
    ]
    names = [
        blake2b(BETWEEN.join(values).encode(), digest_size=16).hexdigest()
        for values in zip(*columns, strict=True)
    ]
    return pd.Series(names, index=rows.frame.index, dtype="str")


def check_splits(rows: Rows) -> None:
    """Check that every split, and every class in it, has rows.

    Raises:
        DataError: One has none; the headline gives the counts.
    """
    sizes = {split: int((rows.splits == code).sum()) for code, split in enumerate(SPLITS)}
    if empty := [split for split, size in sizes.items() if not size]:
        raise DataError(
            f"No rows in {' and '.join(empty)}: {_counts(sizes)}.",
            "Give that part a larger share, or move the split's moments; or get more data.",
        )
    for split, counts in rows.class_counts().items():
        if absent := [name for name, count in counts.items() if not count]:
            everywhere = _counts(
                {
                    name: int((rows.frame[LABEL].to_numpy() == number).sum())
                    for number, name in enumerate(rows.classes or ())
                }
            )
            raise DataError(
                f"Split {split} has no row of class {listed(absent, MOST_SHOWN)} ({_counts(counts)}; "
                f"in all: {everywhere}).",
                f"Get more rows of it, give {split} a larger share, or take another split.seed.",
            )


def _counts(counts: dict[str, int]) -> str:
    return listed((f"{name} {count}" for name, count in counts.items()), MOST_SHOWN)
