"""Source kind `csv`: one file or a glob, compressed or not."""

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from lastmile.errors import BusyError, DataError
from lastmile.pipeline.base import Strict

if TYPE_CHECKING:
    from pandas import DataFrame

    from lastmile.prepare.sources.acquired import Acquired, Place, RawRows
    from lastmile.prepare.sources.structure import Shape


class CsvSource(Strict):
    """Read CSV files that share a header."""

    path: str
    """A file or a glob, relative to the checkout. `.gz`, `.bz2`, `.xz`, `.zst` and `.zip` (of one file)
    are unpacked."""
    encoding: str = "utf-8"
    """The files' encoding."""
    delimiter: str = Field(default=",", pattern=r"^[\t !#-~]$")
    """The character between two fields."""
    missing: tuple[str, ...] = ("",)
    """Fields that stand for a missing value."""

    def acquire(self, place: "Place") -> "Acquired":
        """Digest the files' bytes; parse them only when the rows are asked for."""
        from lastmile.prepare.sources.acquired import Acquired
        from lastmile.store import digest_of, file_digest

        files = self.files(place)
        digests = [file_digest(file) for file in files]

        def load() -> "RawRows":
            rows = self.read(place)
            if [file_digest(file) for file in self.files(place)] != digests:
                raise BusyError(
                    f"Files of source {place.source!r} changed while they were read.",
                    "Run again when their writer is done; better, let it write beside and rename.",
                )
            return rows

        return Acquired(name=place.source, kind="csv", digest=digest_of(digests), load=load)

    def read(self, place: "Place") -> "RawRows":
        """Return all rows of all files, every value as text, missing where a field says so.

        Raises:
            DataError: A file is missing, empty, or no well-formed table; the headline names the
                file, and line and column where there are any.
        """
        import pandas as pd

        from lastmile.prepare.sources.acquired import RawRows, checked_frame

        frames: list[DataFrame] = []
        shapes: dict[str, Shape] = {}
        for file in self.files(place):
            frame, shape = self._read_file(file, place)
            shapes[_shown(file, place)] = shape
            if frames and set(frame.columns) != set(frames[0].columns):
                odd = sorted(set(frame.columns) ^ set(frames[0].columns))
                raise DataError(
                    f"{file}: its header differs from the first file's in {', '.join(odd)}.",
                    f"All files of {self.path!r} need the same columns, in any order.",
                )
            frames.append(frame)
        rows = checked_frame(pd.concat(frames, ignore_index=True), place.source)
        warnings = (_cut_off(file) for file, shape in shapes.items() if not shape.is_ended)
        return RawRows(rows, _places(shapes), tuple(warnings))

    def files(self, place: "Place") -> list[Path]:
        """Return the files, sorted by path.

        Raises:
            DataError: There are none.
        """
        pattern = (place.settings.root / self.path).absolute()
        above = Path(pattern.anchor)
        found = [pattern] if pattern.is_file() else above.glob(str(pattern.relative_to(above)))
        files = sorted(path for path in found if path.is_file())
        if not files:
            raise DataError(
                f"{pattern}: there is no such file.",
                f"Put the data there, or correct `path` of source {place.source!r}.",
            )
        return files

    def _read_file(self, file: Path, place: "Place") -> "tuple[DataFrame, Shape]":
        import pandas as pd

        from lastmile.prepare.sources.structure import check_structure
        from lastmile.prepare.sources.unpack import as_plain_utf8

        plain = as_plain_utf8(file, self.encoding, place.scratch)
        try:
            shape = check_structure(plain, self.delimiter, str(file))
            frame = pd.read_csv(
                plain,
                sep=self.delimiter,
                dtype="str",
                keep_default_na=False,
                na_values=list(self.missing),
                encoding="utf-8",
            )
        except pd.errors.ParserError as error:
            raise DataError(f"{file}: {error}", "Write the file anew as CSV (RFC 4180).") from error
        finally:
            if plain != file:
                plain.unlink(missing_ok=True)
        if len(frame) != shape.rows:
            raise DataError(
                f"{file}: {shape.rows} rows stand in it, but {len(frame)} were read.",
                "Write the file anew as CSV (RFC 4180): quotes doubled, no lines of blanks.",
            )
        return frame, shape


def _shown(file: Path, place: "Place") -> str:
    """Return the file's path as the pipeline file would write it, the same in every checkout."""
    root = place.settings.root.absolute()
    return str(file.relative_to(root) if file.is_relative_to(root) else file)


def _places(shapes: "dict[str, Shape]") -> "DataFrame":
    import numpy as np
    import pandas as pd

    codes = np.repeat(np.arange(len(shapes)), [shape.rows for shape in shapes.values()])
    lines = np.concatenate([shape.lines for shape in shapes.values()])
    return pd.DataFrame(
        {"file": pd.Categorical.from_codes(codes, pd.Index(list(shapes))), "line": lines}
    )


def _cut_off(file: str) -> str:
    return (
        f"{file}: its last line has no line end, as the others have. If its writer ended early, the "
        "last value is cut off, and nothing else shows it."
    )
