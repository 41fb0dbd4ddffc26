"""A record that the model can answer, for the warm-up, the API's description and the page."""

import math
from typing import Any

from lastmile.features.schema import Column, ColumnKind
from lastmile.features.transform import Transform


def example_record(transform: Transform) -> dict[str, Any]:
    """Return a record in the middle of what training saw."""
    schema = transform.schema
    numbers = {c.name: transform.encoding.mean[i] for i, c in enumerate(schema.numeric)}
    words = {c.name: transform.encoding.vocabularies[i] for i, c in enumerate(schema.textual)}
    return {
        column.name: _number(column, numbers[column.name])
        if column.kind.is_numeric
        else _text(column, words[column.name])
        for column in schema.columns
    }


def _number(column: Column, mean: float) -> float | int | bool:
    if column.kind is ColumnKind.BOOLEAN:
        return mean >= 0.5
    low = -math.inf if column.minimum is None else column.minimum
    high = math.inf if column.maximum is None else column.maximum
    if column.kind is ColumnKind.INTEGER:
        return int(min(max(round(mean), math.ceil(low) if math.isfinite(low) else low), high))
    return min(max(float(f"{mean:.4g}"), low), high)


def _text(column: Column, words: tuple[str, ...]) -> str:
    choices = column.allowed or words
    return choices[0] if choices else "unknown"
