"""What the values of each column look like before and after cleaning."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from lastmile.pipeline.data import ColumnRules

if TYPE_CHECKING:
    from pandas import Series

BINS = 24
SHOWN_SHARE = 0.98
"""The histogram's range holds at least this share of the values; the rest is counted beside it."""
TOP_CATEGORIES = 12


@dataclass
class Counts:
    """One column at one moment."""

    rows: int
    missing: int
    """Rows without a value; one that is there but of a wrong type is not among them."""
    wrong: int
    """Rows whose value is not of the column's type, and therefore in no bar."""
    bars: list[int]
    """Rows by bin, or by category."""
    below: int = 0
    """Rows left of the histogram's range."""
    above: int = 0
    """Rows right of it, or of categories not shown."""
    statistics: dict[str, float] = field(default_factory=dict)


@dataclass
class Distribution:
    """One column before and after, over the same bins or categories."""

    column: str
    kind: str
    labels: list[str]
    """The categories; empty for numbers."""
    edges: list[float]
    """The bins' edges, one more than there are bins; empty for categories."""
    before: Counts
    after: Counts


def compare(
    rules: Mapping[str, ColumnRules],
    before: Mapping[str, "Series[Any]"],
    after: Mapping[str, "Series[Any]"],
    wrong: Mapping[str, int],
) -> list[Distribution]:
    """Compare each column's values before and after; times are left out.

    Args:
        rules: What each column is.
        before: The values as they were read, missing where they are of a wrong type.
        after: The values after all steps.
        wrong: How many of those before are missing only because they are of a wrong type.
    """
    found = []
    for name, values in before.items():
        kind = rules[name].type
        if kind in ("integer", "number"):
            found.append(_numbers(name, kind, values, after[name]))
        elif kind == "boolean":
            words = {0.0: "false", 1.0: "true"}
            found.append(_categories(name, kind, values.map(words), after[name].map(words)))
        elif kind == "category":
            found.append(_categories(name, kind, values, after[name]))
    for distribution in found:
        counts = distribution.before
        counts.wrong = wrong.get(distribution.column, 0)
        counts.missing -= counts.wrong
    return found


def _numbers(name: str, kind: str, before: "Series[Any]", after: "Series[Any]") -> Distribution:
    edges = _edges(before.dropna().to_numpy(), after.dropna().to_numpy(), kind == "integer")
    return Distribution(
        name, kind, [], edges.tolist(), _histogram(before, edges), _histogram(after, edges)
    )


def _edges(before: Any, after: Any, is_whole: bool) -> Any:
    values = after if len(after) else before
    if not len(values):
        return np.array([0.0, 1.0])
    low, high = float(values.min()), float(values.max())
    if len(before):
        tail = (1 - SHOWN_SHARE) / 2
        first, last = np.quantile(before, [tail, 1 - tail])
        low, high = max(low, float(first)), min(high, float(last))
    if low >= high:
        return np.array([low - 0.5, low + 0.5])
    if is_whole:  # every bin holds equally many whole numbers
        first, count = np.floor(low), np.ceil(high) - np.floor(low) + 1
        width = np.ceil(count / BINS)
        return first - 0.5 + width * np.arange(np.ceil(count / width) + 1)
    return np.linspace(low, high, BINS + 1)


def _histogram(values: "Series[Any]", edges: Any) -> Counts:
    known = values.dropna().to_numpy(dtype=np.float64)
    statistics = {}
    if len(known):
        statistics = {
            "min": float(known.min()), "median": float(np.median(known)),
            "mean": float(known.mean()), "max": float(known.max()), "std": float(known.std()),
        }  # fmt: skip
    return Counts(
        rows=len(values),
        missing=len(values) - len(known),
        wrong=0,
        bars=np.histogram(known, edges)[0].tolist(),
        below=int((known < edges[0]).sum()),
        above=int((known > edges[-1]).sum()),
        statistics=statistics,
    )


def _categories(name: str, kind: str, before: "Series[Any]", after: "Series[Any]") -> Distribution:
    counts_before, counts_after = before.value_counts(), after.value_counts()
    together = counts_before.add(counts_after, fill_value=0)
    # Sorted by count, then by name, so that the report of the same data is the same report.
    ranked = sorted(together.items(), key=lambda item: (-item[1], str(item[0])))
    labels = [str(label) for label, _ in ranked[:TOP_CATEGORIES]]

    def counted(values: "Series[Any]", counts: "Series[int]") -> Counts:
        bars = [int(counts.get(label, 0)) for label in labels]
        known = int(values.notna().sum())
        return Counts(
            rows=len(values),
            missing=len(values) - known,
            wrong=0,
            bars=bars,
            above=known - sum(bars),
            statistics={"different": float(len(counts))},
        )

    return Distribution(
        name, kind, labels, [], counted(before, counts_before), counted(after, counts_after)
    )
