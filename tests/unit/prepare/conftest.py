"""Rows made to order: tiny frames whose splits a test sets by hand."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lastmile.pipeline.data import Data
from lastmile.prepare.join import Joined, join_sources
from lastmile.prepare.rows import Rows, StepReport
from lastmile.prepare.sources.acquired import Place, RawRows
from lastmile.settings import Settings


@pytest.fixture
def make_data() -> Callable[..., Data]:
    """Make the data part of a pipeline; keyword arguments replace its parts."""

    def make(**parts: Any) -> Data:
        value: dict[str, Any] = {
            "sources": [{"name": "rows", "csv": {"path": "rows.csv"}}],
            "label": {"column": "y"},
            "quarantine": {"max_share": 1},
        }
        return Data.model_validate(value | parts)

    return make


@pytest.fixture
def make_rows(
    make_data: Callable[..., Data], alone: Callable[[pd.DataFrame], Joined]
) -> Callable[..., Rows]:
    """Make rows of a frame; `splits` is a letter per row, t(rain), v(alidation) or e(valuate)."""

    def make(frame: pd.DataFrame, splits: str = "", task: str = "binary", **parts: Any) -> Rows:
        if "y" not in frame:
            frame = frame.assign(y="0")
        joined = alone(frame)
        rows = Rows(make_data(**parts), task, joined.frame, joined.origin)
        if splits:
            rows.split_codes = np.array(["tve".index(s) for s in splits], dtype=np.int8)
        return rows

    return make


@pytest.fixture
def alone() -> Callable[[pd.DataFrame], Joined]:
    """Make of a frame what a single source called `rows` gives."""
    return lambda frame: join_sources({"rows": RawRows.counted(frame)}, {})


@pytest.fixture
def apply() -> Callable[..., StepReport]:
    """Apply a step's settings to rows and return what it reports."""

    def do(settings: Any, rows: Rows) -> StepReport:
        report = StepReport("step", rows_in=len(rows))
        settings.apply(rows, report)
        return report

    return do


@pytest.fixture
def place(settings: Settings, tmp_path: Path) -> Place:
    """A source called `rows` that is read in the test's own folder."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    return Place("rows", settings, scratch)


@pytest.fixture
def text_frame() -> Callable[..., pd.DataFrame]:
    """Make a frame as a CSV gives it: text, None where missing."""

    def make(**columns: Sequence[str | None]) -> pd.DataFrame:
        return pd.DataFrame(columns, dtype="str")

    return make
