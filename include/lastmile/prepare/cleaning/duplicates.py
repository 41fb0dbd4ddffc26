"""Cleaning step `duplicates`."""

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import model_validator

from lastmile.errors import PipelineFileError
from lastmile.pipeline.base import Strict

if TYPE_CHECKING:
    from pandas import DataFrame

    from lastmile.prepare.rows import Mask, Rows, StepReport

SAMPLE_ROWS = 10_000


class Duplicates(Strict):
    """Drop rows that stand there more than once."""

    by: Literal["exact", "key"] = "exact"
    """exact: all values that the pipeline reads are equal. key: the key is equal, whatever the rest."""
    keep: Literal["newest", "first", "last"] = "first"
    """Which of them stays; newest goes by `order_by`."""
    order_by: str | None = None
    """The column that tells which is newest."""

    needs_split: ClassVar[bool] = False

    @model_validator(mode="after")
    def _newest_needs_order(self) -> "Duplicates":
        if (self.keep == "newest") != (self.order_by is not None):
            raise ValueError("keep: newest and order_by go together")
        return self

    def apply(self, rows: "Rows", report: "StepReport") -> None:
        """Drop the rows. Values are compared as a client would send them, never as filled or clipped.

        Raises:
            PipelineFileError: By key, and the pipeline has none.
        """
        report.about = f"by {self.by}, keep {self.keep}"
        if self.by == "key":
            repeated = self._repeated_keys(rows)
        else:
            frame = rows.as_read(rows.frame) if rows.wrong else rows.frame
            repeated = exact_duplicates(frame, "first" if self.keep == "first" else "last")
        report.dropped = int(repeated.sum())
        rows.keep(~repeated)

    def _repeated_keys(self, rows: "Rows") -> "Mask":
        from lastmile.artefacts.dataset import KEY

        if rows.data.key is None:
            raise PipelineFileError(
                "Step `duplicates` goes by key, but `data` names no key.",
                "Add `key: <column>`, or say `by: exact`.",
            )
        keys = rows.frame[KEY]
        if self.order_by is None:
            repeated = keys.duplicated(keep="first" if self.keep == "first" else "last")
        else:  # among equally new rows the last one stays
            order = rows.order(self.order_by).sort_values(kind="stable", na_position="first")
            repeated = keys.loc[order.index].duplicated(keep="last").reindex(keys.index)
        return (repeated & keys.notna()).to_numpy()


def exact_duplicates(frame: "DataFrame", keep: Literal["first", "last"] = "first") -> "Mask":
    """Return which rows repeat another one in all columns, as `DataFrame.duplicated` does, sooner.

    A row can only repeat another if it does so in every single column. So one selective column is
    looked at first, and only rows that repeat in it are compared in full.
    """
    import numpy as np

    repeated = np.zeros(len(frame), dtype=bool)
    sample = frame.sample(min(SAMPLE_ROWS, len(frame)), random_state=0)
    column = sample.nunique(dropna=False).idxmax()
    suspects = frame[column].duplicated(keep=False).to_numpy()
    repeated[suspects] = frame[suspects].duplicated(keep=keep).to_numpy()
    return repeated
