"""How sure a metric is: percentile intervals over resamples of the test rows (Efron, 1979).

Rows of one group are no independent witnesses: with groups, whole groups are drawn (Field and Welsh, 2007).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lastmile.evaluate.metrics import Floats, Predictions, measure

RESAMPLES = 500
LEVEL = 0.95
FEWEST = 100
"""With fewer usable resamples than this no interval is given."""
CELLS = 4_000_000
"""Resamples are taken in blocks of at most so many counts, which bounds the memory (32 MB each)."""


@dataclass(frozen=True)
class Intervals:
    """Per metric the ends of its 95 % interval, and how many resamples they rest on."""

    ends: dict[str, tuple[float, float]]
    """Without the metrics for which too few resamples gave a value."""
    used: int
    skipped: int
    """Resamples in which a class did not occur: most metrics are not defined there."""


Groups = npt.NDArray[np.intp]
"""(rows,): the number of each row's group, from 0 on without gaps."""


def bootstrap(
    predictions: Predictions,
    groups: Groups | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Intervals:
    """Resample with replacement and take the percentiles of each metric.

    Args:
        predictions: At least one record.
        groups: Which rows belong together; None: each stands for itself.
        seed: The same seed gives the same intervals.
        resamples: How many.
    """
    blocks: list[dict[str, Floats]] = []
    used = 0
    for counts in _usable_draws(predictions, groups, seed, resamples):
        used += len(counts)
        blocks.append(measure(predictions, counts))
    found = {
        name: _ends(np.concatenate([block[name] for block in blocks]))
        for name in (blocks[0] if blocks else ())
    }
    ends = {name: interval for name, interval in found.items() if interval is not None}
    return Intervals(ends, used, resamples - used)


def difference(
    predictions: Predictions,
    other: Predictions,
    metric: str,
    groups: Groups | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> tuple[float, float] | None:
    """Return the interval of a metric's difference, ours less the other's, on the same resamples.

    None where too few resamples give a value. Arguments as for `bootstrap`.
    """
    gains = [
        measure(predictions, counts)[metric] - measure(other, counts)[metric]
        for counts in _usable_draws(predictions, groups, seed, resamples)
    ]
    return _ends(np.concatenate(gains)) if gains else None


def _usable_draws(
    predictions: Predictions, groups: Groups | None, seed: int, resamples: int
) -> Iterator[Floats]:
    """Yield blocks of counts, (some resamples, rows), in which every class occurs."""
    rows = len(predictions.labels)
    for counts in _draw(rows, groups, resamples, np.random.default_rng(seed)):
        usable = counts[((counts @ predictions.is_class) > 0).all(axis=1)]
        if len(usable):
            yield usable


def _draw(
    rows: int, groups: Groups | None, resamples: int, random: np.random.Generator
) -> Iterator[Floats]:
    units = rows if groups is None else int(groups.max()) + 1
    left = resamples
    while left:
        size = min(left, max(1, CELLS // rows))
        drawn = random.integers(0, units, size=(size, units))
        drawn += units * np.arange(size)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=size * units).reshape(size, units)
        yield (counts if groups is None else counts[:, groups]).astype(np.float64)
        left -= size


def _ends(values: Floats) -> tuple[float, float] | None:
    finite = values[np.isfinite(values)]
    if len(finite) < FEWEST:
        return None
    low, high = np.quantile(finite, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
