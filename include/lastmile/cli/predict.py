"""`lastmile predict`: records from a file to the served model."""

import csv
import json
import sys
from pathlib import Path
from typing import Any

from lastmile.deploy.service import ask
from lastmile.errors import DataError
from lastmile.pipeline.base import Strict
from lastmile.settings import Settings


class Answers(Strict):
    """What the served model said."""

    model: str
    version: int
    address: str
    predictions: tuple[dict[str, Any], ...]


def ask_served_model(pipeline: str, file: Path, settings: Settings) -> Answers:
    """Send a file's records to the served model.

    Raises:
        DataError: The file holds no records, or the model refuses one; says which.
    """
    return Answers.model_validate(ask(pipeline, _read_records(file), settings))


def _read_records(file: Path) -> list[dict[str, Any]]:
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file} cannot be read: {error}", "Give JSON or CSV in UTF-8.") from error
    records = _from_csv(text) if file.suffix == ".csv" else _from_json(file, text)
    if not records:
        raise DataError(f"{file} holds no records.", 'Expected [{"column": value, ...}, ...].')
    return records


def _from_json(file: Path, text: str) -> list[dict[str, Any]]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(
            f"{file}:{error.lineno}:{error.colno}: no JSON: {error.msg}",
            'Expected a list of records, [{"column": value, ...}, ...].',
        ) from error
    records: Any = value.get("instances", value) if isinstance(value, dict) else value
    return list(records) if isinstance(records, list) else [records]


def _from_csv(text: str) -> list[dict[str, Any]]:
    return [
        {str(name): _value(field) for name, field in row.items()}
        for row in csv.DictReader(text.splitlines())
    ]


def _value(field: str | None) -> str | float | None:
    """Read a CSV field as a number if it is one; an empty one is missing."""
    if not field:
        return None
    try:
        number = float(field)
    except ValueError:
        return field
    return int(number) if number.is_integer() and "." not in field else number
