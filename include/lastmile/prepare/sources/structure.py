"""Is this file a table? Looked at before pandas sees it, in one pass and bounded memory.

pandas fills up short rows, renames repeated columns, takes NUL bytes and needs half a minute and 3 GB
for a header of a million columns. Here each of those is an error with its line. The pass is numpy
over blocks of bytes; only where a block looks odd does Python's csv module read the file again, row
by row, to tell exactly what is wrong and where, or that nothing is.
"""

import codecs
import csv
import io
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from lastmile.errors import DataError

BLOCK_BYTES = 1 << 22
MAX_HEADER_BYTES = 1 << 20
MAX_COLUMNS = 10_000
MAX_FIELD_BYTES = 1 << 20
MAX_RECORD_BYTES = 1 << 24

QUOTE, NEWLINE, RETURN = 34, 10, 13
BOM = codecs.BOM_UTF8


@dataclass(frozen=True, slots=True)
class Shape:
    """What a file's look tells before it is parsed."""

    columns: int
    lines: npt.NDArray[np.int32]
    """The line, from 1, at which each data row begins."""
    is_ended: bool
    """Whether the last line has a line end too."""

    @property
    def rows(self) -> int:
        """How many data rows there are."""
        return len(self.lines)


def check_structure(path: Path, delimiter: str, name: str) -> Shape:
    """Check that a UTF-8 CSV file is well-formed.

    Args:
        path: The plain file.
        delimiter: One ASCII character.
        name: How messages call the file.

    Raises:
        DataError: It is empty or a header only; a byte is NUL or no UTF-8; the header has too many,
            repeated or empty names; a row has too few or too many fields; a quote stays open; a
            field is too large.
    """
    header = _read_header(path, delimiter, name)
    scan = _Scan(name, delimiter, header)
    with path.open("rb") as file:
        is_plain = scan.run(file)
        file.seek(-1, io.SEEK_END)
        is_ended = file.read(1) in b"\r\n"
    lines = scan.lines if is_plain else _read_slowly(path, delimiter, name, header)
    if len(lines) < 2:
        raise DataError(
            f"{name}: a header, but no rows.", "See whether its writer ended early, or was empty."
        )
    return Shape(len(header), lines[1:], is_ended)


def _read_header(path: Path, delimiter: str, name: str) -> list[str]:
    with path.open("rb") as file:
        start = file.read(MAX_HEADER_BYTES)
    start = start.removeprefix(BOM)
    if not start.strip():
        raise DataError(f"{name}: the file is empty.", "See whether its writer ended early.")
    is_whole = len(start) < MAX_HEADER_BYTES - len(BOM)
    if b"\n" not in start and b"\r" not in start and not is_whole:
        raise _too_many_columns(name, f"a header of more than {MAX_HEADER_BYTES >> 20} MiB")
    text = start.decode("utf-8", "replace")  # the scan tells where a byte is wrong
    try:
        header = next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise DataError(f"{name}:1: the header: {error}.", "Close every quote.") from error
    if not header:
        raise DataError(
            f"{name}:1: a blank line where the header should be.", "Begin with the columns' names."
        )
    if len(header) > MAX_COLUMNS:
        raise _too_many_columns(name, f"{len(header)} columns")
    _check_names(header, name)
    return header


def _too_many_columns(name: str, found: str) -> DataError:
    return DataError(
        f"{name}:1: {found}; at most {MAX_COLUMNS} columns are read.",
        "Rows and columns may be swapped, or the delimiter is another one.",
    )


def _check_names(header: list[str], name: str) -> None:
    empty = [i for i, column in enumerate(header, 1) if not column.strip()]
    if empty:
        raise DataError(
            f"{name}:1: column {empty[0]} of the header has no name.",
            "Name it. (A data frame's index is left out with to_csv(index=False).)",
        )
    seen: dict[str, int] = {}
    for position, column in enumerate(header, 1):
        if column in seen:
            raise DataError(
                f"{name}:1: columns {seen[column]} and {position} are both called {column!r}.",
                "Give each column its own name.",
            )
        seen[column] = position


class _Scan:
    """One pass over the bytes."""

    def __init__(self, name: str, delimiter: str, header: list[str]) -> None:
        self._starts: list[npt.NDArray[np.int32]] = []
        self._name = name
        self._delimiter = ord(delimiter)
        self._header = header
        self._lines = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")()

    @property
    def lines(self) -> npt.NDArray[np.int32]:
        """The line at which each record begins, the header's first."""
        return np.concatenate(self._starts) if self._starts else np.empty(0, dtype=np.int32)

    def run(self, file: IO[bytes]) -> bool:
        """Return whether all is well; False: something looks odd, read it slowly.

        Raises:
            DataError: A byte is NUL or no UTF-8, or a record is too long.
        """
        carry = b""
        while True:
            block = file.read(BLOCK_BYTES)
            data = carry + block
            self._check_bytes(block, data, len(carry))
            if not block:
                return not carry or self._take(carry + b"\n") == len(carry) + 1
            end = self._take(data)
            if end is None:
                return False
            carry = data[end:]
            if len(carry) > MAX_RECORD_BYTES:
                raise self._too_long(carry)

    def _check_bytes(self, block: bytes, data: bytes, start: int) -> None:
        at = block.find(b"\0")
        if at >= 0:
            raise DataError(
                f"{self._place(data, start + at)}: a NUL byte.",
                "No text holds one: the file is damaged, or in UTF-16 (then declare `encoding`).",
            )
        pending = len(self._decoder.getstate()[0])
        try:
            self._decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            at = max(0, start + error.start - pending)
            raise DataError(
                f"{self._place(data, at)}: byte 0x{error.object[error.start]:02x} is no UTF-8.",
                "Declare the encoding that the file is in: `encoding: latin-1` or cp1252 is likely.",
            ) from error

    def _take(self, data: bytes) -> int | None:
        """Count the whole records; return where the rest begins, or None where one looks odd."""
        if data.count(b"\r") != data.count(b"\r\n") + data.endswith(b"\r"):
            return None
        text = np.frombuffer(data, dtype=np.uint8)
        is_end = text == NEWLINE
        is_delimiter = text == self._delimiter
        if b'"' in data:
            is_quote = text == QUOTE
            if not self._quotes_fit(text, np.flatnonzero(is_quote)):
                return None
            is_outside = np.cumsum(is_quote, dtype=np.int32) & 1 == 0
            is_end &= is_outside
            is_delimiter &= is_outside
        ends = np.flatnonzero(is_end)
        if not len(ends):
            return 0
        separators = np.flatnonzero((is_delimiter | is_end)[: ends[-1] + 1])
        if not self._records_fit(text, ends, separators):
            return None
        end = int(ends[-1]) + 1
        self._lines += data.count(b"\n", 0, end)
        return end

    def _quotes_fit(self, text: npt.NDArray[np.uint8], quotes: npt.NDArray[np.intp]) -> bool:
        """Whether quotes stand only around whole fields, or doubled inside such."""
        opening, closing = quotes[::2], quotes[1::2]
        if self._lines == 0 and text[:3].tobytes() == BOM:
            opening = opening[opening != len(BOM)]
        before = text[opening[opening > 0] - 1]
        after = text[closing[closing < len(text) - 1] + 1]
        edges = [self._delimiter, NEWLINE, RETURN, QUOTE]
        return bool(np.isin(before, edges).all() and np.isin(after, edges).all())

    def _records_fit(
        self,
        text: npt.NDArray[np.uint8],
        ends: npt.NDArray[np.intp],
        separators: npt.NDArray[np.intp],
    ) -> bool:
        lengths = np.diff(ends, prepend=-1) - 1
        fields = np.diff(np.flatnonzero(text[separators] == NEWLINE), prepend=-1)
        is_blank = (lengths == 0) | ((lengths == 1) & (text[ends - 1] == RETURN))
        if (is_blank | (fields == len(self._header))).all():
            self._starts.append(self._first_lines(text, ends)[~is_blank])
            return int(np.diff(separators, prepend=-1).max()) <= MAX_FIELD_BYTES
        return False

    def _first_lines(
        self, text: npt.NDArray[np.uint8], ends: npt.NDArray[np.intp]
    ) -> npt.NDArray[np.int32]:
        """Return the line at which each record of a block begins; a quoted one may have several."""
        newlines = np.flatnonzero(text[: ends[-1] + 1] == NEWLINE)
        before = np.arange(len(ends)) if len(newlines) == len(ends) else (
            np.searchsorted(newlines, ends))  # fmt: skip
        first = np.zeros(len(ends), dtype=np.int32)
        first[1:] = before[:-1] + 1
        return first + np.int32(self._lines + 1)

    def _place(self, data: bytes, at: int) -> str:
        """Return `file:line` and, where it can be told, the column's name."""
        line_start = data.rfind(b"\n", 0, at) + 1
        line = self._lines + data.count(b"\n", 0, at) + 1
        before = data[line_start:at]
        position = before.count(bytes([self._delimiter]))
        if line > 1 and b'"' not in before and position < len(self._header):
            return f"{self._name}:{line}, column {self._header[position]!r}"
        return f"{self._name}:{line}"

    def _too_long(self, record: bytes) -> DataError:
        size = f"more than {MAX_RECORD_BYTES >> 20} MiB"
        if record.count(b'"') % 2:
            return DataError(
                f"{self._name}:{self._lines + 1}: a quote opens here and stays open for {size}.",
                "Close it; a quote inside a quoted field is written twice.",
            )
        return DataError(
            f"{self._name}:{self._lines + 1}: a row of {size}.",
            "Large texts and pictures do not belong into a table; keep them as files.",
        )


def _read_slowly(path: Path, delimiter: str, name: str, header: list[str]) -> npt.NDArray[np.int32]:
    """Read row by row and say what is wrong, and where; if nothing is, return each record's line."""
    before = csv.field_size_limit(MAX_FIELD_BYTES)
    line, starts = 1, array("i")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(_lines(file, name), delimiter=delimiter, strict=True)
            for record in reader:
                if record:
                    starts.append(line)
                    if len(record) != len(header):
                        raise _wrong_width(f"{name}:{line}", len(record), header, _is_last(reader))
                line = reader.line_num + 1
    except csv.Error as error:
        raise _odd_record(f"{name}:{line}", str(error)) from error
    finally:
        csv.field_size_limit(before)
    return np.frombuffer(starts, dtype=np.int32)


def _lines(file: IO[str], name: str) -> Iterator[str]:
    number = 0
    while line := file.readline(MAX_RECORD_BYTES):
        number += 1
        if len(line) == MAX_RECORD_BYTES:
            raise DataError(
                f"{name}:{number}: a line of more than {MAX_RECORD_BYTES >> 20} MiB.",
                "Large texts and pictures do not belong into a table; keep them as files.",
            )
        yield line


def _is_last(reader: Iterator[list[str]]) -> bool:
    try:
        return next(reader, None) is None
    except csv.Error:
        return False


def _wrong_width(place: str, width: int, header: list[str], is_last: bool) -> DataError:
    if width > len(header):
        return DataError(
            f"{place}: {width} fields, where the header has {len(header)}.",
            "Quote a field that holds the delimiter.",
        )
    headline = (
        f"{place}, column {header[width]!r}: {width} fields, where the header has {len(header)}"
    )
    if is_last:
        return DataError(
            f"{headline}; it is the last row, the file is cut off.",
            "Its writer ended early. Fetch the file anew; let it be written beside and renamed.",
        )
    return DataError(f"{headline}.", "Write empty fields too, so that all rows are equally long.")


def _odd_record(place: str, reason: str) -> DataError:
    if "field larger" in reason:
        return DataError(
            f"{place}: a field of more than {MAX_FIELD_BYTES >> 20} MiB.",
            "Large texts and pictures do not belong into a table; keep them as files.",
        )
    return DataError(
        f"{place}: a quote opens here and is not closed as CSV wants it ({reason}).",
        "Close it before the next delimiter; a quote inside a quoted field is written twice.",
    )
