"""The faults of a file as people and editors read them: file, line, column, message, hint."""

import difflib
from collections.abc import Iterable

from lastmile.errors import PipelineFileError
from lastmile.pipeline.base import Strict


class Problem(Strict):
    """One fault of a pipeline file. Lines and columns count from 1."""

    file: str
    line: int
    column: int
    message: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.message}"


class InvalidPipelineError(PipelineFileError):
    """A pipeline file with its faults, all of them."""

    def __init__(self, problems: list[Problem]) -> None:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        super().__init__(f"{problems[0]}{more}", problems[0].hint)
        self.problems = problems


def near_match(word: str, names: Iterable[object]) -> str:
    """Return the hint that names the nearest of some names, or nothing."""
    close = difflib.get_close_matches(word, [str(name) for name in names], n=1, cutoff=0.6)
    return f"Did you mean {close[0]!r}?" if close else ""


def choices(names: Iterable[object]) -> str:
    """Return the hint that lists what is allowed, or nothing."""
    listed = ", ".join(str(name) for name in names)
    return f"Allowed: {listed}." if listed else ""
