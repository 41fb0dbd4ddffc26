"""From records to answers. Knows no Flask; every protocol goes through here."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lastmile.features.schema import RecordError
from lastmile.serve.errors import RequestError
from lastmile.serve.live import Model


def answer(model: Model, records: Sequence[Any], max_rows: int) -> list[dict[str, Any]]:
    """Answer records, one mapping from output name to value for each.

    Raises:
        RecordError: A record cannot be used.
        RequestError: No record, too many, or one for which the model has no answer.
    """
    refuse_count(len(records), max_rows)
    predictor = model.predictor
    scores = predictor.scores(predictor.transform(records))
    usable = np.isfinite(scores)
    if np.count_nonzero(usable) < usable.size:
        row = int(np.argmin(usable.all(axis=1)))
        raise RequestError(
            f"Row {row}: the model has no finite answer for this record.",
            "Its values lie too far from what the model has learnt.",
            status=422,
            row=row,
        )
    return predictor.answers(scores)


def refuse_count(count: int, max_rows: int) -> None:
    """Refuse no record, or too many.

    Raises:
        RequestError: Nothing, or more than `max_rows`.
    """
    if count == 0:
        raise RequestError("There is no record in the request.", "Send at least one.")
    if count > max_rows:
        raise RequestError(
            f"{count} records are more than the {max_rows} that one request may hold.",
            "Send them in several requests, or let the server take more: LASTMILE_SERVE_MAX_ROWS.",
            status=413,
        )


def records_of_rows(rows: Sequence[Any], names: Sequence[str]) -> list[dict[str, Any]]:
    """Name the values of rows that hold them in the columns' order.

    Raises:
        RecordError: A row is no list, or not as long as there are columns.
    """
    records = []
    for index, row in enumerate(rows):
        if not isinstance(row, list):
            raise RecordError(index, None, f"expected a list of {len(names)} values")
        if len(row) != len(names):
            raise RecordError(index, None, f"expected {len(names)} values, got {len(row)}")
        records.append(dict(zip(names, row, strict=True)))
    return records


def records_of_columns(columns: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Turn columns of equal length into records."""
    return [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]


def columns_of_answers(answers: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Turn answers into one list per output."""
    return {name: [row[name] for row in answers] for name in answers[0]}
