"""One table of several: further sources joined to the first."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from lastmile.errors import DataError
from lastmile.prepare.columns import near_match
from lastmile.prepare.sources.acquired import canonical_text

if TYPE_CHECKING:
    from pandas import DataFrame

MAX_GROWTH = 10
"""A join that gives more rows than so many times the first table's is a wrong join."""


def join_sources(frames: Mapping[str, "DataFrame"], on: Mapping[str, str]) -> "DataFrame":
    """Join every further source to the first; rows of the first without a partner stay.

    The shared column is compared as text, so that 17 of a database meets "17" of a CSV. A row with
    several partners comes several times: the step `duplicates` deals with that.

    Args:
        frames: Raw rows by source, the first one leading.
        on: For each further source the column that it shares with the first.

    Raises:
        DataError: The column is missing, another one stands in both, or nothing meets.
    """
    (first, joined), *others = frames.items()
    for name, right in others:
        joined = _join(joined, right, on[name], first, name)
    return joined.reset_index(drop=True)


def _join(
    left: "DataFrame", right: "DataFrame", column: str, first: str, second: str
) -> "DataFrame":
    for frame, source in ((left, first), (right, second)):
        if column not in frame.columns:
            raise DataError(
                f"Source {source!r} has no column {column!r} to join {second!r} by.",
                near_match(column, frame.columns),
            )
    if both := sorted(set(left.columns) & set(right.columns) - {column}):
        raise DataError(
            f"Sources {first!r} and {second!r} both have {', '.join(both)}.",
            "Name the columns in the query and leave one of each out, or rename it with `AS`.",
        )
    left = left.assign(**{column: canonical_text(left[column]).str.strip()})
    right = right.assign(**{column: canonical_text(right[column]).str.strip()})
    right = right[right[column].notna()]  # pandas would join missing to missing
    partners = left[column].map(right[column].value_counts()).fillna(0)
    if not partners.any():
        raise DataError(
            f"No row of {first!r} has a partner in {second!r} by {column!r}.",
            f"See what {column!r} holds in both, and correct `join`.",
        )
    rows = int(partners.clip(lower=1).sum())
    if rows > MAX_GROWTH * len(left):
        raise DataError(
            f"Joining {second!r} by {column!r} would make {rows} rows of {len(left)}.",
            "Join by a column whose values are nearly unique in one of the two.",
        )
    return left.merge(right, on=column, how="left", validate="many_to_many")
