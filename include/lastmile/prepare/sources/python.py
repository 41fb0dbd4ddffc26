"""Source kind `python`: a function of your own, for what no other kind reads."""

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pydantic import Field

from lastmile.errors import DataError, LastmileError, PipelineFileError, ServiceUnavailableError
from lastmile.pipeline.base import Strict

if TYPE_CHECKING:
    from pandas import DataFrame

    from lastmile.prepare.sources.acquired import Acquired, Place


class PythonSource(Strict):
    """Call a function that returns a data frame or yields several."""

    call: str
    """The function's dotted name, `module.function`, importable from `include/`."""
    arguments: dict[str, Any] = Field(default_factory=dict)
    """Keyword arguments for it."""

    def acquire(self, place: "Place") -> "Acquired":
        """Read the rows; their digest can be had in no other way."""
        from lastmile.prepare.sources.acquired import Acquired, frame_digest

        frame = self.read(place)
        return Acquired(
            name=place.source, kind="python", digest=frame_digest(frame), load=lambda: frame
        )

    def read(self, place: "Place") -> "DataFrame":
        """Return the rows of all frames that the function gives.

        Raises:
            PipelineFileError: There is no such function.
            DataError: It failed, or gave something else than data frames.
            ServiceUnavailableError: It met a connection that failed.
        """
        import pandas as pd

        from lastmile.prepare.sources.acquired import checked_frame

        function = self._function(place.source)
        try:
            result = function(**self.arguments)
            frames = [result] if isinstance(result, pd.DataFrame) else list(result)
        except LastmileError:
            raise
        except (ConnectionError, TimeoutError) as error:
            raise ServiceUnavailableError(
                f"Source {place.source!r}: {self.call} met {type(error).__name__}: {error}",
                "See that what it reads from can be reached; then run again.",
            ) from error
        except Exception as error:  # the user's own code may raise anything
            raise DataError(
                f"Source {place.source!r}: {self.call} failed: {type(error).__name__}: {error}",
                "Correct the function, or the `arguments` it gets.",
            ) from error
        if odd := [type(frame).__name__ for frame in frames if not isinstance(frame, pd.DataFrame)]:
            raise DataError(
                f"Source {place.source!r}: {self.call} gave {odd[0]}, not a data frame.",
                "Return a pandas DataFrame, or yield several.",
            )
        rows = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
        return checked_frame(rows, place.source)

    def _function(self, source: str) -> Callable[..., Any]:
        module_name, _, name = self.call.rpartition(".")
        try:
            function = getattr(importlib.import_module(module_name), name)
        except (ImportError, AttributeError, ValueError) as error:
            raise PipelineFileError(
                f"Source {source!r}: {self.call!r} cannot be imported: {error}",
                "Name a function of a module in include/, as in pipelines.my_model.rows.",
            ) from error
        if not callable(function):
            raise PipelineFileError(
                f"Source {source!r}: {self.call!r} is no function.", "Name a function."
            )
        return function  # type: ignore[no-any-return]
