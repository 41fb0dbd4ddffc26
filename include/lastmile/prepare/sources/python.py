"""Source kind `python`: a function of your own, for what no other kind reads."""

import contextlib
import importlib
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, Field

from lastmile.errors import DataError, LastmileError, PipelineFileError, ServiceUnavailableError
from lastmile.pipeline.base import Strict

if TYPE_CHECKING:
    from pandas import DataFrame

    from lastmile.prepare.sources.acquired import Acquired, Place, RawRows

FAILURES = (Exception, SystemExit)
"""The user's own code may raise anything. Its `sys.exit(0)` would end the stage as done, without a result."""


def _with_lists(value: Any) -> Any:
    """Hand on lists as a function of one's own expects them; the reader's are frozen."""
    if isinstance(value, dict):
        return {key: _with_lists(item) for key, item in value.items()}
    return [_with_lists(item) for item in value] if isinstance(value, tuple) else value


class PythonSource(Strict):
    """Call a function that returns a data frame or yields several."""

    call: str
    """The function's dotted name, `module.function`, importable from `include/`."""
    arguments: Annotated[dict[str, Any], AfterValidator(_with_lists)] = Field(default_factory=dict)
    """Keyword arguments for it."""

    def acquire(self, place: "Place") -> "Acquired":
        """Read the rows; their digest can be had in no other way."""
        from lastmile.prepare.sources.acquired import Acquired, frame_digest

        rows = self.read(place)
        return Acquired(
            name=place.source, kind="python", digest=frame_digest(rows.frame), load=lambda: rows
        )

    def read(self, place: "Place") -> "RawRows":
        """Return the rows of all frames that the function gives.

        Raises:
            PipelineFileError: There is no such function.
            DataError: It failed, or gave something else than data frames of the same columns.
            ServiceUnavailableError: It met a connection that failed.
        """
        from lastmile.prepare.sources.acquired import RawRows, checked_frame

        with _as_a_guest(place.settings.root / "include"):
            function = self._function(place)
            frames = self._frames(function, place)
        return RawRows.counted(checked_frame(self._together(frames, place.source), place.source))

    def _function(self, place: "Place") -> Callable[..., Any]:
        module_name, _, name = self.call.rpartition(".")
        with self._translated("cannot be imported", place):
            try:
                function = getattr(importlib.import_module(module_name), name)
            except (ModuleNotFoundError, AttributeError, ValueError) as error:
                if _is_in_users_code(error):
                    raise
                raise PipelineFileError(
                    f"Source {place.source!r}: {self.call!r} cannot be imported: {error}",
                    "Name a function of a module in include/, as in pipelines.my_model.rows.",
                ) from error
        if not callable(function):
            raise PipelineFileError(
                f"Source {place.source!r}: {self.call!r} is no function.", "Name a function."
            )
        return function  # type: ignore[no-any-return]

    def _frames(self, function: Callable[..., Any], place: "Place") -> "list[DataFrame]":
        import pandas as pd

        with self._translated("failed", place):
            result = function(**self.arguments)
            is_several = isinstance(result, Iterable) and not isinstance(result, pd.DataFrame)
            frames = list(result) if is_several else [result]
        if odd := [type(frame).__name__ for frame in frames if not isinstance(frame, pd.DataFrame)]:
            raise DataError(
                f"Source {place.source!r}: {self.call} gave {odd[0]}, not a data frame.",
                "Return a pandas DataFrame, or yield several.",
            )
        return frames

    @contextlib.contextmanager
    def _translated(self, how: str, place: "Place") -> Iterator[None]:
        """Let only errors of Lastmile out of the user's code."""
        try:
            yield
        except LastmileError:
            raise
        except (ConnectionError, TimeoutError) as error:
            raise ServiceUnavailableError(
                f"Source {place.source!r}: {self.call} met {type(error).__name__}: {error}",
                "See that what it reads from can be reached; then run again.",
            ) from error
        except FAILURES as error:
            raise self._failed(how, error, place) from error

    def _failed(self, how: str, error: BaseException, place: "Place") -> DataError:
        where = _place_of(error, place.settings.root)
        what = (
            f"it called sys.exit({error.code!r})"
            if isinstance(error, SystemExit)
            else f"{type(error).__name__}: {error.msg if isinstance(error, SyntaxError) else error}"
        )
        return DataError(
            f"Source {place.source!r}: {self.call} {how}: {where}{what}",
            "Correct the function, or the `arguments` it gets.",
        )

    def _together(self, frames: "list[DataFrame]", source: str) -> "DataFrame":
        """Return all frames' rows, each value as it came."""
        import pandas as pd

        from lastmile.prepare.sources.acquired import canonical_text

        filled = [frame.rename(columns=str) for frame in frames if len(frame)]
        if len(filled) < 2 or filled[0].columns.has_duplicates:
            return filled[0] if filled else pd.DataFrame()
        for number, frame in enumerate(filled, 1):
            if odd := sorted(set(frame.columns) ^ set(filled[0].columns)):
                raise DataError(
                    f"Source {source!r}: frame {number} of {self.call} differs from the first in "
                    f"{', '.join(odd)}.",
                    "All frames need the same columns, in any order.",
                )
        # Of whole numbers and fractions pandas would make float64, which cannot tell large ones apart.
        differ = [str(n) for n in filled[0] if len({frame[n].dtype for frame in filled}) > 1]
        alike = [f.assign(**{n: canonical_text(f[n]) for n in differ}) for f in filled]
        return pd.concat(alike, ignore_index=True)


@contextlib.contextmanager
def _as_a_guest(include: Path) -> Iterator[None]:
    """Let code of the project be found, and keep what it prints out of the command's answer."""
    path = str(include.absolute())
    sys.path.insert(0, path)
    importlib.invalidate_caches()
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        with contextlib.suppress(ValueError):  # that code may have removed it
            sys.path.remove(path)


def _is_in_users_code(error: BaseException) -> bool:
    """Whether an import failed inside the module, and not because there is no such module."""
    return any(
        not frame.filename.startswith("<frozen") and frame.filename != importlib.__file__
        and frame.filename != __file__
        for frame in traceback.extract_tb(error.__traceback__)
    )  # fmt: skip


def _place_of(error: BaseException, root: Path) -> str:
    """Return `file:line: ` of the project's own code at which an error arose, as far as it is known."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}: "
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if Path(f.filename).is_relative_to(root.absolute())]
    outside = [f for f in frames if f.filename != __file__ and not f.filename.startswith("<")]
    for frame in reversed(own or outside):
        return f"{frame.filename}:{frame.lineno}: "
    return ""
