"""How sure a metric is: percentile intervals over resamples of the test rows (Efron, 1979)."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

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


def bootstrap(predictions: Predictions, seed: int = 0, resamples: int = RESAMPLES) -> Intervals:
    """Resample the rows with replacement and take the percentiles of each metric.

    Args:
        predictions: At least one record.
        seed: The same seed gives the same intervals.
        resamples: How many.
    """
    blocks: list[dict[str, Floats]] = []
    used = 0
    for counts in _draw(len(predictions.labels), resamples, np.random.default_rng(seed)):
        usable = counts[((counts @ predictions.is_class) > 0).all(axis=1)]
        used += len(usable)
        if len(usable):
            blocks.append(measure(predictions, usable))
    ends: dict[str, tuple[float, float]] = {}
    for name in blocks[0] if blocks else ():
        values = np.concatenate([block[name] for block in blocks])
        finite = values[np.isfinite(values)]
        if len(finite) >= FEWEST:
            low, high = np.quantile(finite, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
            ends[name] = float(low), float(high)
    return Intervals(ends, used, resamples - used)


def _draw(rows: int, resamples: int, random: np.random.Generator) -> Iterator[Floats]:
    """Yield blocks of counts, (some resamples, rows)."""
    left = resamples
    while left:
        size = min(left, max(1, CELLS // rows))
        drawn = random.integers(0, rows, size=(size, rows))
        drawn += rows * np.arange(size)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=size * rows)
        yield counts.reshape(size, rows).astype(np.float64)
        left -= size
