"""Cleaning step `contract`: rows that break the contract of `columns` go to quarantine."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from lastmile.pipeline.base import Strict

if TYPE_CHECKING:
    from lastmile.pipeline.data import ColumnRules
    from lastmile.prepare.rows import Mask, Rows, StepReport


class ContractCheck(Strict):
    """Check types, ranges, allowed values and the key; takes no settings of its own."""

    needs_split: ClassVar[bool] = False

    def apply(self, rows: "Rows", report: "StepReport") -> None:
        """Send rows that break the contract to quarantine, each with all its reasons.

        Raises:
            DataError: They are more than the pipeline allows.
        """
        from lastmile.features.steps import ContractStep

        report.about = f"{len(rows.rules)} columns"
        rows.set_aside(list(_broken(rows)), report)
        rows.wrong.clear()  # all of them are in quarantine now
        rows.steps.append(ContractStep())


def _broken(rows: "Rows") -> Iterator[tuple["Mask", str]]:
    from lastmile.artefacts.dataset import KEY

    if rows.data.key is not None:
        yield rows.frame[KEY].isna().to_numpy(), f"{rows.data.key}: no key"
    for name, rules in rows.rules.items():
        wrong = rows.wrong.get(name)
        if wrong is not None:
            for reason, cells in wrong.groupby(wrong):
                yield rows.frame.index.isin(cells.index), f"{name}: {reason}"
        if not rules.nullable:
            yield rows.missing(name), f"{name}: missing"
        for mask, reason in _out_of_range(rows, name, rules):
            yield mask, f"{name}: {reason}"


def _out_of_range(rows: "Rows", name: str, rules: "ColumnRules") -> Iterator[tuple["Mask", str]]:
    """The rules of one value, in the words of `lastmile.features.schema.check_values`."""
    from lastmile.prepare.columns import listed

    values = rows.value(name)
    if rules.type == "integer":
        yield (values.notna() & (values % 1 != 0)).to_numpy(), "not a whole number"
    if rules.min is not None:
        yield (values < rules.min).to_numpy(), f"below {rules.min:g}"
    if rules.max is not None:
        yield (values > rules.max).to_numpy(), f"above {rules.max:g}"
    if rules.allowed is not None:
        is_broken = values.notna() & ~values.isin(rules.allowed)
        yield is_broken.to_numpy(), f"not one of {listed(rules.allowed, most=40)}"
