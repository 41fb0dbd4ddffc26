"""Cleaning step `duplicates`."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Literal

from lastmile.errors import PipelineFileError
from lastmile.pipeline.base import SelfChecking
from lastmile.pipeline.faults import Fault

if TYPE_CHECKING:
    from pandas import DataFrame

    from lastmile.prepare.rows import Mask, Rows, StepReport

SAMPLE_ROWS = 10_000


class Duplicates(SelfChecking):
    """Drop rows that stand there more than once."""

    by: Literal["exact", "key"] = "exact"
    """exact: all values that the pipeline reads are equal. key: the key is equal, whatever the rest."""
    keep: Literal["newest", "first", "last"] = "first"
    """Which of them stays; newest goes by `order_by`."""
    order_by: str | None = None
    """The column that tells which is newest: numbers, or ISO 8601 times. A row without one counts as
    the oldest."""

    needs_split: ClassVar[bool] = False

    def faults(self) -> Iterator[Fault]:
        """Yield an order without `newest`, and the other way round."""
        if self.keep == "newest" and self.order_by is None:
            yield Fault(("keep",), "keep: newest needs an order", "Add `order_by:` here.")
        if self.keep != "newest" and self.order_by is not None:
            hint = "Say keep: newest, or take it out."
            yield Fault(("order_by",), f"order_by is for keep: newest, not for {self.keep}", hint)

    def apply(self, rows: "Rows", report: "StepReport") -> None:
        """Drop the rows. Values are compared as a client would send them, never as filled or clipped.

        Raises:
            DataError: `order_by` holds a value that cannot be put into order.
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
        else:
            # Among equally new rows the last one stays. A row whose order is not of its column's type
            # is neither old nor new: it stays for the contract, which sets it aside with the reason.
            unread = rows.wrong.get(self.order_by)
            known = keys if unread is None else keys.drop(unread.index.intersection(keys.index))
            order = rows.order(self.order_by).loc[known.index]
            order = order.sort_values(kind="stable", na_position="first")
            repeated = known.loc[order.index].duplicated(keep="last")
            repeated = repeated.reindex(keys.index, fill_value=False)
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
