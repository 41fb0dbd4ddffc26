"""One table of several: further sources joined to the first."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lastmile.errors import DataError
from lastmile.prepare.columns import near_match
from lastmile.prepare.origin import NOWHERE, Origin, Part, Positions, taken
from lastmile.prepare.rows import StepReport
from lastmile.prepare.sources.acquired import RawRows, canonical_text

if TYPE_CHECKING:
    from pandas import DataFrame, Series

MAX_GROWTH = 10
"""A join that gives more rows than so many times the first table's is a wrong join."""


@dataclass(frozen=True)
class Joined:
    """One table, where its rows came from, and what each join did."""

    frame: "DataFrame"
    origin: Origin
    steps: tuple[StepReport, ...] = ()


def join_sources(sources: Mapping[str, RawRows], on: Mapping[str, str]) -> Joined:
    """Join every further source to the first; rows of the first without a partner stay.

    The shared column is compared as text, so that 17 of a database meets "17" of a CSV. A row with
    several partners comes several times: the step `duplicates` deals with that.

    Args:
        sources: Raw rows by source, the first one leading.
        on: For each further source the column that it shares with the first.

    Raises:
        DataError: The column is missing, another one stands in both, or nothing meets.
    """
    (first, leading), *others = sources.items()
    part = Part(first, leading, np.arange(len(leading.frame)))
    joined = Joined(leading.frame, Origin((part,)))
    for name, rows in others:
        joined = _join(joined, name, rows, on[name])
    return joined


def _join(joined: Joined, name: str, rows: RawRows, column: str) -> Joined:
    import pandas as pd

    left, right = joined.frame, rows.frame
    _check_columns(joined, name, rows, column)
    left_keys = canonical_text(left[column]).str.strip()
    right_keys = canonical_text(right[column]).str.strip()
    left_at, right_at = _pairs(left_keys, right_keys, name)
    report = _report(name, column, len(left), left_at, right_at, len(right))
    first = joined.origin.parts[0].source
    if not report.joined["with_partner"]:
        raise DataError(
            f"No row of {first!r} has a partner in {name!r} by {column!r}.",
            f"See what {column!r} holds in both, and correct `join`.",
        )
    left = left.assign(**{column: left_keys})
    if report.joined["added"]:
        left = pd.DataFrame({str(n): taken(left[n], left_at) for n in left.columns})
    others = {str(n): taken(right[n], right_at) for n in right.columns if n != column}
    parts = [Part(part.source, part.rows, part.positions[left_at]) for part in joined.origin.parts]
    return Joined(
        left.assign(**others),
        Origin((*parts, Part(name, rows, right_at))),
        (*joined.steps, report),
    )


def _check_columns(joined: Joined, name: str, rows: RawRows, column: str) -> None:
    first = joined.origin.parts[0].source
    for frame, source in ((joined.frame, first), (rows.frame, name)):
        if column not in frame.columns:
            raise DataError(
                f"Source {source!r} has no column {column!r} to join {name!r} by.",
                near_match(column, frame.columns),
            )
    if both := sorted(set(joined.frame.columns) & set(rows.frame.columns) - {column}):
        raise DataError(
            f"Sources {first!r} and {name!r} both have {', '.join(both)}.",
            "Name the columns in the query and leave one of each out, or rename it with `AS`.",
        )


def _pairs(left: "Series[str]", right: "Series[str]", name: str) -> tuple[Positions, Positions]:
    """Return which row of the first meets which of the second, in the first one's order.

    Raises:
        DataError: They are too many.
    """
    import pandas as pd

    known = right[right.notna()]  # pandas would join missing to missing
    rows = int(left.map(known.value_counts()).fillna(0).clip(lower=1).sum())
    if rows > MAX_GROWTH * len(left):
        raise DataError(
            f"Joining {name!r} by {left.name!r} would make {rows} rows of {len(left)}.",
            "Join by a column whose values are nearly unique in one of the two.",
        )
    pairs = pd.DataFrame({"key": left, "left": np.arange(len(left))}).merge(
        pd.DataFrame({"key": known, "right": known.index}), on="key", how="left"
    )
    return pairs["left"].to_numpy(), pairs["right"].fillna(NOWHERE).to_numpy(dtype=np.int64)


def _report(
    name: str, column: str, rows_in: int, left_at: Positions, right_at: Positions, rows: int
) -> StepReport:
    """Count what the join did; rows that found no partner would otherwise vanish without a word."""
    without = int((right_at == NOWHERE).sum())
    unused = rows - len(np.unique(right_at[right_at != NOWHERE]))
    added = len(left_at) - rows_in
    report = StepReport("join", f"{name} by {column}", rows_in, len(left_at))
    report.joined = {
        "with_partner": rows_in - without, "without_partner": without,
        "unused": unused, "added": added,
    }  # fmt: skip
    report.notes.append(
        f"{rows_in - without} rows have a partner in {name}, {without} have none; "
        f"{unused} of {name}'s {rows} rows were never used"
    )
    if added:
        report.notes.append(f"{added} rows were added, for partners beyond a row's first")
    return report
