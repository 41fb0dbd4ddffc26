"""The report's pictures, as SVG that takes its colours from the page."""

from collections.abc import Iterable, Sequence
from html import escape

import numpy as np
import numpy.typing as npt

from lastmile.artefacts.verdict import Metric
from lastmile.evaluate.metrics import Floats, Predictions

SIDE, EDGE = 330, 46
"""Square pictures: their size, and the room for axes."""
BAR_WIDTH, BAR_HEIGHT = 360, 26
MOST_POINTS = 600
MOST_CLASSES = 12


def metric_bar(metric: Metric) -> str:
    """Draw a metric: bar, interval, and marks where baseline and champion stand."""
    if metric.value is None:
        return ""
    low, high = _scale(metric)

    def at(value: float) -> float:
        return 4 + (BAR_WIDTH - 8) * (value - low) / (high - low)

    start, end = sorted((at(max(low, 0.0)), at(metric.value)))
    parts = [
        f'<line class="axis" x1="4" x2="{BAR_WIDTH - 4}" y1="20" y2="20"/>',
        f'<rect class="candidate" x="{start:.1f}" y="8" width="{max(end - start, 1):.1f}" '
        'height="9" rx="2"/>',
    ]
    if metric.low is not None and metric.high is not None:
        a, b = at(metric.low), at(metric.high)
        parts.append(f'<path class="interval" d="M{a:.1f} 9v7M{b:.1f} 9v7M{a:.1f} 12.5H{b:.1f}"/>')
    for value, name in ((metric.baseline, "baseline"), (metric.champion, "champion")):
        if value is not None:
            parts.append(f'<path class="{name}" d="M{at(value):.1f} 3v19"/>')
    return _svg(BAR_WIDTH, BAR_HEIGHT, parts, f"{metric.name} {metric.value:.4g}")


def _scale(metric: Metric) -> tuple[float, float]:
    values = [
        value
        for value in (metric.value, metric.low, metric.high, metric.baseline, metric.champion)
        if value is not None
    ]
    low, high = min(0.0, *values), max(values)
    if low >= 0 and high <= 1 and metric.name not in ("log_loss", "brier", "rmse", "mae"):
        return 0.0, 1.0
    return low, high if high > low else low + 1


def roc_curve(predictions: Predictions, area: float | None) -> str:
    """Draw the ROC curve of a binary task."""
    ranking, truth = predictions.rankings[0], predictions.is_class[None, :, 1]
    found = ranking.group(truth)[0].cumsum()
    alarms = ranking.group(1 - truth)[0].cumsum()
    if not (found[-1] and alarms[-1]):
        return ""
    x, y = np.r_[0.0, alarms / alarms[-1]], np.r_[0.0, found / found[-1]]
    kept = _thinned(len(x))
    points = " ".join(
        f"{_across(a):.1f},{_up(b):.1f}" for a, b in zip(x[kept], y[kept], strict=True)
    )
    parts = [
        *_axes("false positive rate", "true positive rate", (0, 1), (0, 1)),
        f'<path class="chance" d="M{_across(0)} {_up(0)}L{_across(1)} {_up(1)}"/>',
        f'<polyline class="curve" points="{points}"/>',
    ]
    return _svg(SIDE, SIDE, parts, f"ROC curve, area {area or 0:.4g}")


def confusion_matrix(predictions: Predictions, classes: Sequence[str]) -> str:
    """Return a table: the true class down, the answered one across, shaded by its share of the row."""
    counts = (predictions.is_class.T @ predictions.says_class).astype(int)
    if len(classes) > MOST_CLASSES:
        return ""
    head = "".join(f"<th>{escape(name)}</th>" for name in classes)
    rows = []
    for name, row in zip(classes, counts, strict=True):
        cells = "".join(
            f'<td class="n" style="--share:{100 * count / max(row.sum(), 1):.0f}%">{count}</td>'
            for count in row
        )
        rows.append(f"<tr><th>{escape(name)}</th>{cells}</tr>")
    return (
        '<table class="matrix"><thead><tr><th class="soft">true \\ answered</th>'
        f"{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )


def predicted_against_true(predictions: Predictions) -> str:
    """Draw a regression's predictions over the true values."""
    kept = _thinned(len(predictions.labels))
    truth, said = predictions.labels[kept], predictions.scores[kept, 0]
    low = float(min(truth.min(), said.min()))
    high = float(max(truth.max(), said.max()))
    span = high - low or 1.0
    dots = (
        f'<circle class="dot" cx="{_across((t - low) / span):.1f}" cy="{_up((s - low) / span):.1f}" '
        'r="2.5"/>'
        for t, s in zip(truth, said, strict=True)
    )
    parts = [
        *_axes("true", "predicted", (low, high), (low, high)),
        f'<path class="chance" d="M{_across(0)} {_up(0)}L{_across(1)} {_up(1)}"/>',
        *dots,
    ]
    return _svg(SIDE, SIDE, parts, "Predicted over true values")


def errors(predictions: Predictions) -> str:
    """Draw how a regression's errors are spread."""
    error: Floats = predictions.scores[:, 0] - predictions.labels
    counts, edges = np.histogram(error, bins=min(30, max(5, len(error) // 8)))
    low, high = float(edges[0]), float(edges[-1])
    width = (SIDE - EDGE - 8) / len(counts)
    bars = (
        f'<rect class="candidate" x="{EDGE + i * width:.1f}" y="{_up(count / counts.max()):.1f}" '
        f'width="{max(width - 1, 0.5):.1f}" height="{_up(0) - _up(count / counts.max()):.1f}"/>'
        for i, count in enumerate(counts)
    )
    parts = [*_axes("predicted minus true", "rows", (low, high), (0, float(counts.max()))), *bars]
    return _svg(SIDE, SIDE, parts, "Errors")


def _thinned(count: int) -> npt.NDArray[np.intp]:
    return np.unique(np.linspace(0, count - 1, min(count, MOST_POINTS)).round().astype(np.intp))


def _across(share: float) -> float:
    return EDGE + (SIDE - EDGE - 8) * share


def _up(share: float) -> float:
    return SIDE - EDGE - (SIDE - EDGE - 8) * share


def _axes(across: str, up: str, x: tuple[float, float], y: tuple[float, float]) -> Iterable[str]:
    left, bottom = _across(0), _up(0)
    yield f'<path class="axis" d="M{left} {_up(1)}V{bottom}H{_across(1)}"/>'
    yield f'<text x="{left}" y="{bottom + 14}">{x[0]:.4g}</text>'
    yield f'<text x="{_across(1)}" y="{bottom + 14}" text-anchor="end">{x[1]:.4g}</text>'
    yield f'<text x="{_across(0.5)}" y="{bottom + 28}" text-anchor="middle">{across}</text>'
    yield f'<text x="{left - 4}" y="{bottom}" text-anchor="end">{y[0]:.4g}</text>'
    yield f'<text x="{left - 4}" y="{_up(1) + 8}" text-anchor="end">{y[1]:.4g}</text>'
    yield (
        f'<text transform="translate({left - 34} {_up(0.5)}) rotate(-90)" '
        f'text-anchor="middle">{up}</text>'
    )


def _svg(width: float, height: float, parts: Iterable[str], label: str) -> str:
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(label)}">'
        f"{''.join(parts)}</svg>"
    )
