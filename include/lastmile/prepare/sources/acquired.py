"""What a source hands on: a digest that tells whether anything changed, and the raw rows."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from lastmile.errors import DataError
from lastmile.pipeline.base import Strict
from lastmile.settings import Settings

if TYPE_CHECKING:
    from pandas import DataFrame, Series


class Acquired(Strict):
    """A source that was looked at once. Reading the rows may come later, or never."""

    name: str
    kind: str
    digest: str
    """SHA-256, in hex: of the files' bytes, or of the rows where only rows can be had."""
    load: Callable[[], Any]
    """Return the raw rows (`RawRows`)."""


@dataclass(frozen=True)
class RawRows:
    """A source's rows as they came, and where each of them stands."""

    frame: "DataFrame"
    places: "DataFrame"
    """Row by row, from 1: its `row` in the source, or its `file` and `line`."""
    warnings: tuple[str, ...] = ()
    """What a person should know of them, though they can be read."""

    @classmethod
    def counted(cls, frame: "DataFrame") -> "RawRows":
        """Return rows that have no better name than their number."""
        import pandas as pd

        return cls(frame, pd.DataFrame({"row": range(1, len(frame) + 1)}))


@dataclass(frozen=True)
class Place:
    """Where a source is read."""

    source: str
    """The source's name, for messages."""
    settings: Settings
    scratch: Path
    """A folder for files unpacked on the way."""


class Reader(Protocol):
    """The settings of one kind of source."""

    def acquire(self, place: Place) -> Acquired:
        """Look at the source once: its digest now, its rows when `load` is called.

        Raises:
            DataError: It is not there, or not what was declared.
            ServiceUnavailableError: It does not answer just now.
        """
        ...

    def read(self, place: Place) -> RawRows:
        """Return the raw rows, values as they came.

        Raises:
            DataError: They cannot be read as declared.
        """
        ...


def checked_frame(frame: "DataFrame", source: str) -> "DataFrame":
    """Return rows that any later step can work on: text names, told apart, and at least one row.

    Columns of mixed Python objects become text, so that the contract decides what they are.

    Raises:
        DataError: Two columns share a name, or there are no rows.
    """
    import pandas as pd

    frame = frame.rename(columns=str).reset_index(drop=True)
    if repeated := frame.columns[frame.columns.duplicated()].tolist():
        raise DataError(
            f"Source {source!r} has more than one column called {', '.join(sorted(set(repeated)))}.",
            "Give each column its own name, in the query with `AS`.",
        )
    if frame.empty:
        raise DataError(
            f"Source {source!r} gave no rows.",
            "See that the table, file or function holds data for this pipeline.",
        )
    columns = {
        name: canonical_text(frame[name]) if is_mixed(frame[name]) else frame[name]
        for name in frame.columns
    }
    return pd.DataFrame(columns, copy=False)


def is_mixed(values: "Series[Any]") -> bool:
    """Whether a column holds Python objects rather than one type."""
    return bool(values.dtype == object) or values.dtype.name == "category"


def with_gaps(values: "Series[Any]") -> "Series[Any]":
    """Return whole numbers and booleans as the type of theirs that can miss a value.

    Where numpy's own type gets a gap pandas widens it to float64, in which whole numbers from 2^53 on
    are no longer told apart; a key of two rows would become one.
    """
    import pandas as pd

    if values.dtype.kind not in "iub":
        return values
    return pd.Series(pd.array(values.to_numpy()), index=values.index, name=values.name)


def canonical_text(values: "Series[Any]") -> "Series[str]":
    """Return values as text, one spelling per value: 17, 17.0 and "17" are "17". Missing stays."""
    import pandas as pd

    if isinstance(values.dtype, pd.StringDtype):
        return values
    if pd.api.types.is_bool_dtype(values.dtype) or pd.api.types.is_integer_dtype(values.dtype):
        return values.astype("str").where(values.notna())
    if pd.api.types.is_float_dtype(values.dtype):
        values = values.astype("object")
    found = values.map(_spelling, na_action="ignore")
    return found.astype("str")


def _spelling(value: Any) -> str:
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value)


def frame_digest(frame: "DataFrame") -> str:
    """SHA-256 over names, types and values of a checked frame, in hex. The rows' order counts."""
    import hashlib
    import io

    import pyarrow as pa

    table = pa.Table.from_pandas(frame, preserve_index=False)
    # The metadata tells versions of libraries, chunks tell how it was read: neither is data.
    table = table.replace_schema_metadata(None).combine_chunks()
    digest = hashlib.sha256()
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        for batch in table.to_batches(max_chunksize=1 << 16):
            writer.write_batch(batch)
            digest.update(sink.getvalue())
            sink.seek(0)
            sink.truncate()
    return digest.hexdigest()
