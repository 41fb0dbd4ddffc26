"""`lastmile predict`: records from a file to the served model."""

import csv
import io
import json
import logging
import math
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lastmile.cli.serve import name_of
from lastmile.deploy.service import reach
from lastmile.errors import DataError
from lastmile.pipeline.base import Strict
from lastmile.settings import Settings

log = logging.getLogger(__name__)

EXPECTED = 'Expected a list of records, [{"column": value, ...}, ...].'
WHOLE_NUMBER = re.compile(r"[+-]?[0-9]+")
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
TRUE = ("true", "1", "1.0", "yes", "y", "t")
FALSE = ("false", "0", "0.0", "no", "n", "f")
"""The spellings that preparing data knows, too."""
BOOLEANS = dict.fromkeys(TRUE, True) | dict.fromkeys(FALSE, False)
DATATYPES = {"INT64": "a whole number", "FP64": "a number", "BOOL": "true or false"}
"""What is expected of a field, by the datatype that the served model names; else it is a text."""


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
    name = name_of(pipeline, settings)
    text = _read(file)
    if file.suffix.lower() != ".csv":
        records = _from_json(file, text)
        endpoint = reach(name, settings)
    else:
        rows = list(_rows(file, text))
        endpoint = reach(name, settings)
        records = _from_csv(file, rows, endpoint.inputs(name)) if len(rows) > 1 else []
    if not records:
        raise DataError(f"{file} holds no records.", EXPECTED)
    answer = endpoint.predict(records)
    return Answers(
        model=answer["model"],
        version=answer["version"],
        address=endpoint.address,
        predictions=answer["predictions"],
    )


def _read(file: Path) -> str:
    try:
        content = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
        return content.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file} cannot be read: {error}", "Give JSON or CSV in UTF-8.") from error


def _from_json(file: Path, text: str) -> list[Any]:
    try:
        value = json.loads(text, object_pairs_hook=_without_duplicates)
    except json.JSONDecodeError as error:
        raise DataError(
            f"{file}:{error.lineno}:{error.colno}: no JSON: {error.msg}", EXPECTED
        ) from error
    except RecursionError as error:
        raise DataError(f"{file} is nested too deeply.", EXPECTED) from error
    except ValueError as error:  # a key that stands twice, or a number of thousands of digits
        raise DataError(f"{file}: {error}", EXPECTED) from error
    if isinstance(value, dict):
        for wrapper in ("instances", "data"):
            if isinstance(value.get(wrapper), list):
                value = value[wrapper]
                break
    return value if isinstance(value, list) else [value]


def _without_duplicates(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} stands twice in one object.")
    return value


def _rows(file: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows that are not empty, each with its first line; the header is the first."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    line = 1
    try:
        for row in reader:
            if row:
                yield line, row
            line = reader.line_num + 1
    except csv.Error as error:
        raise DataError(
            f"{file}:{line}: no CSV: {error}.", "Close every quote; double one inside a field."
        ) from error


def _from_csv(
    file: Path, rows: Sequence[tuple[int, list[str]]], inputs: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Type the fields as the served model wants them."""
    first, header = rows[0]
    for name in header:
        if header.count(name) > 1:
            raise DataError(
                f"{file}:{first}: the column {name!r} stands twice.", "Leave one of them out."
            )
    if not inputs.keys() & set(header):
        raise DataError(
            f"{file}:{first}: none of the columns is one that the model reads.",
            f"It reads {', '.join(inputs)}. The first row names the columns.",
        )
    if unread := [name for name in header if name not in inputs]:
        log.warning("Left out, since the model does not read them: %s", ", ".join(unread))
    records = []
    for line, row in rows[1:]:
        if len(row) != len(header):
            raise DataError(
                f"{file}:{line}: the row has {len(row)} fields, the header {len(header)}.",
                "Quote a field that holds a comma.",
            )
        records.append(
            {
                name: _value(field, inputs[name], f"{file}:{line}: {name}")
                for name, field in zip(header, row, strict=True)
                if name in inputs
            }
        )
    return records


def _value(field: str, datatype: str, where: str) -> Any:
    """Read a field as the model wants it; an empty one is missing."""
    text = field.strip()
    if not text:
        return None
    if datatype not in DATATYPES:
        return field
    value: Any = None
    if datatype == "BOOL":
        value = BOOLEANS.get(text.lower())
    elif datatype == "INT64" and WHOLE_NUMBER.fullmatch(text) and len(text) < 100:
        value = int(text)
    elif NUMBER.fullmatch(text) and math.isfinite(number := float(text)):
        value = number  # the model itself refuses a fraction where it reads whole numbers
    if value is None:
        raise DataError(f"{where} is {field!r:.80}, not {DATATYPES[datatype]}.", "")
    return value
