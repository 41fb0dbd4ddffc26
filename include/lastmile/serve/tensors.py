"""The tensors of the Open Inference Protocol: from JSON or bytes to values, and back.

The binary form is the protocol's binary tensor data extension: little-endian values one after the other;
BYTES as a 4-byte length before each text; BOOL as one byte.
"""

import math
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from lastmile.features.schema import ColumnKind
from lastmile.serve.errors import RequestError

DTYPES = {
    "BOOL": "|b1", "INT8": "|i1", "INT16": "<i2", "INT32": "<i4", "INT64": "<i8", "UINT8": "|u1",
    "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8",
}  # fmt: skip
"""The protocol's fixed-size datatypes, as numpy spells them."""

DATATYPE_OF = {"float64": "FP64", "int64": "INT64", "bool": "BOOL", "string": "BYTES"}
"""The datatype that we name for each type of a signature."""

_NUMBERS = tuple(name for name in DTYPES if name != "BOOL")
ACCEPTED = {
    ColumnKind.NUMBER: _NUMBERS,
    ColumnKind.INTEGER: _NUMBERS,
    ColumnKind.BOOLEAN: ("BOOL",),
    ColumnKind.CATEGORY: ("BYTES",),
}
"""The datatypes that a column may come in."""


def flatten(name: str, data: Any, count: int) -> list[Any]:
    """Return a JSON tensor's values; rows may stand in lists of their own.

    Raises:
        RequestError: Not as many values as the shape says.
    """
    if not isinstance(data, list):
        raise RequestError(f"Input {name!r} has no list of data.", column=name)
    values = data
    if any(isinstance(value, list) for value in data):
        values = [
            inner for value in data for inner in (value if isinstance(value, list) else [value])
        ]
    if len(values) != count:
        raise RequestError(
            f"Input {name!r} has {len(values)} values where its shape says {count}.", column=name
        )
    return values


def decode(name: str, datatype: str, raw: bytes, count: int) -> list[Any]:
    """Return a binary tensor's values.

    Raises:
        RequestError: Not as many bytes as shape and datatype say, or no UTF-8.
    """
    if datatype == "BYTES":
        values = _decode_texts(name, raw)
        if len(values) != count:
            raise RequestError(
                f"Input {name!r} has {len(values)} texts where its shape says {count}.", column=name
            )
        return values
    dtype = np.dtype(DTYPES[datatype])
    if len(raw) != count * dtype.itemsize:
        raise RequestError(
            f"Input {name!r} has {len(raw)} bytes; {count} values of {datatype} take "
            f"{count * dtype.itemsize}.",
            column=name,
        )
    found: list[Any] = np.frombuffer(raw, dtype).tolist()
    return found


def _decode_texts(name: str, raw: bytes) -> list[str]:
    texts: list[str] = []
    at = 0
    try:
        while at < len(raw):
            (length,) = struct.unpack_from("<I", raw, at)
            start = at + 4
            at = start + length
            if at > len(raw):
                raise RequestError(f"Input {name!r} ends within text {len(texts)}.", column=name)
            texts.append(raw[start:at].decode())
    except struct.error as error:
        raise RequestError(f"Input {name!r} ends within a length.", column=name) from error
    except UnicodeDecodeError as error:
        raise RequestError(
            f"Row {len(texts)}, column {name!r}: the text is not UTF-8.",
            row=len(texts),
            column=name,
        ) from error
    return texts


def encode(datatype: str, values: Sequence[Any]) -> bytes:
    """Return values in the binary form."""
    if datatype == "BYTES":
        texts = [value.encode() for value in values]
        return b"".join(struct.pack("<I", len(text)) + text for text in texts)
    return np.array(values, dtype=DTYPES[datatype]).tobytes()


def parse_shape(name: str, shape: Any) -> int:
    """Return how many records a shape, (n) or (n, 1), speaks of.

    Raises:
        RequestError: Another shape.
    """
    fits = (
        isinstance(shape, list)
        and all(type(size) is int and size >= 0 for size in shape)
        and (len(shape) == 1 or (len(shape) == 2 and shape[1] == 1))
    )
    if not fits:
        raise RequestError(
            f"Input {name!r} has the shape {shape!r:.60}.",
            "Each column is a tensor of shape [n] or [n, 1], n being the number of records.",
            column=name,
        )
    return math.prod(shape)
