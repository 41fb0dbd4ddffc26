"""Cleaning step `missing`."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from lastmile.errors import PipelineFileError
from lastmile.pipeline.base import SelfChecking
from lastmile.pipeline.faults import Fault

if TYPE_CHECKING:
    from pandas import Series

    from lastmile.prepare.rows import Rows, StepReport


class Missing(SelfChecking):
    """Deal with missing values. What is fitted, is fitted on the training split."""

    columns: tuple[str, ...]
    """Which columns."""
    by: Literal["drop", "constant", "median", "mode", "forward_fill"]
    """drop: the row goes. median, mode: of the training split. forward_fill: the last value before,
    which for a training row comes from a training row; a single record at the server has none."""
    value: float | str | None = None
    """The constant."""
    group: str | None = None
    """forward_fill: only within rows that share this column."""
    order_by: str | None = None
    """forward_fill: the order of the rows."""
    flag: bool = False
    """Also tell the model where a value was missing."""

    def faults(self) -> Iterator[Fault]:
        """Yield settings that `by` does not read, or lacks."""
        if self.by == "constant" and self.value is None:
            yield Fault(("by",), "by: constant needs a value", "Add `value:` here.")
        if self.by != "constant" and self.value is not None:
            yield Fault(("value",), f"value is for by: constant, not for {self.by}")
        if self.by == "forward_fill" and not self.order_by:
            yield Fault(("by",), "by: forward_fill needs an order", "Add `order_by:` here.")
        for name in ("group", "order_by"):
            if self.by != "forward_fill" and getattr(self, name):
                yield Fault((name,), f"{name} is for by: forward_fill, not for {self.by}")
        if self.flag and self.by in ("drop", "forward_fill"):
            yield Fault(("flag",), f"flag is for by: constant, median and mode, not for {self.by}")

    @property
    def needs_split(self) -> bool:
        """Whether the training split must be known."""
        return self.by in ("median", "mode", "forward_fill")

    def apply(self, rows: "Rows", report: "StepReport") -> None:
        """Drop the rows or fill the values.

        Raises:
            DataError: Nothing in the training split to fit on, or `order_by` holds a value that cannot
                be put into order.
            PipelineFileError: The way does not fit a column's type.
        """
        columns = rows.present(self.columns)
        report.about = f"{self.by}: {', '.join(columns)}"
        if self.by == "drop":
            self._drop(rows, columns, report)
            return
        if rows.data.label.column in columns:
            raise PipelineFileError(
                f"Step `missing` would fill the label {rows.data.label.column!r}.",
                "A filled label is an invented one: use `by: drop`, or leave the column out.",
            )
        if self.by == "forward_fill":
            self._forward_fill(rows, columns, report)
        else:
            self._fill(rows, columns, report)

    def _drop(self, rows: "Rows", columns: list[str], report: "StepReport") -> None:
        import numpy as np

        missing = np.zeros(len(rows), dtype=bool)
        for name in columns:
            missing |= rows.missing(name)
        report.dropped = int(missing.sum())
        rows.keep(~missing)

    def _fill(self, rows: "Rows", columns: list[str], report: "StepReport") -> None:
        from lastmile.features.steps import FillStep

        values = {name: self._fitted(rows, name) for name in columns}
        for name, value in values.items():
            column = rows.value(name)
            report.filled[name] = int(rows.missing(name).sum())
            if self.by != "constant":
                report.fitted[name] = value
            if self.flag:
                report.flagged[name] = report.filled[name]
            rows.set_cleaned(name, column.fillna(value))
        if read := {name: v for name, v in values.items() if name in rows.schema.names}:
            rows.steps.append(FillStep(values=read, flag=self.flag))

    def _fitted(self, rows: "Rows", name: str) -> Any:
        kind = rows.rules[name].type if name in rows.rules else "category"
        is_numeric = kind in ("integer", "number", "boolean")
        if self.by == "constant":
            if is_numeric == isinstance(self.value, str) or kind == "timestamp":
                raise _unfit(name, kind, f"the constant {self.value!r}")
            return self.value
        if kind == "timestamp" or (self.by == "median" and not is_numeric):
            raise _unfit(name, kind, f"the {self.by}")
        known = rows.training_values(name)
        if self.by == "mode":
            value = known.mode().iloc[0]  # sorted: of equally frequent ones the smallest
            return float(value) if is_numeric else str(value)
        median = float(known.median())
        return median if kind == "number" else float(round(median))

    def _forward_fill(self, rows: "Rows", columns: list[str], report: "StepReport") -> None:
        for name in columns:
            before = rows.missing(name)
            if rows.has_overlay(name):
                rows.set_cleaned(name, self._filled_forward(rows, rows.value(name)))
            rows.set_value(name, self._filled_forward(rows, rows.frame[name]))
            report.filled[name] = int(before.sum() - rows.missing(name).sum())

    def _filled_forward(self, rows: "Rows", values: "Series[Any]") -> "Series[Any]":
        """Fill each split from itself and from the training split, so that nothing leaks into that."""
        import pandas as pd

        from lastmile.prepare.rows import SPLITS

        order = rows.order(str(self.order_by)).sort_values(kind="stable", na_position="first").index
        splits = pd.Series(rows.splits, index=rows.frame.index).loc[order]
        groups = None if self.group is None else rows.frame[self.group].loc[order]
        ordered, parts = values.loc[order], []
        for code in range(len(SPLITS)):
            visible = ordered[((splits == 0) | (splits == code)).to_numpy()]
            if groups is None:
                filled = visible.ffill()
            else:  # rows without a group are no group
                filled = visible.groupby(groups.loc[visible.index]).ffill().fillna(visible)
            parts.append(filled[(splits.loc[filled.index] == code).to_numpy()])
        together: Series[Any] = pd.concat(parts).reindex(values.index)
        return together


def _unfit(name: str, kind: str, what: str) -> PipelineFileError:
    return PipelineFileError(
        f"Step `missing`: column {name!r} is of type {kind}; {what} cannot fill it.",
        "Take a constant of its type, `mode` for a category, `median` for a number.",
    )
