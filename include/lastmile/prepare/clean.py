"""The cleaning, step after step in the order of the pipeline file."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from lastmile.errors import DataError
from lastmile.features.transform import Cleaning
from lastmile.pipeline.data import Data
from lastmile.prepare.distributions import Distribution, compare
from lastmile.prepare.join import Joined
from lastmile.prepare.rows import Rows, StepReport
from lastmile.prepare.split import assign_splits, check_splits

log = logging.getLogger(__name__)


class CleaningStep(Protocol):
    """The settings of one kind of step."""

    @property
    def needs_split(self) -> bool:
        """Whether it fits something, for which the training split must be known."""
        ...

    def apply(self, rows: Rows, report: StepReport) -> None:
        """Change `rows`, count in `report`; add to `rows.steps` what the server must do too."""
        ...


@dataclass(frozen=True)
class Cleaned:
    """Rows ready to be written, and what was done to them."""

    rows: Rows
    steps: list[StepReport]
    distributions: list[Distribution]

    @property
    def cleaning(self) -> Cleaning:
        """What a record goes through, everywhere."""
        return Cleaning(self.rows.schema, tuple(self.rows.steps))


def clean(data: Data, task: str, joined: Joined) -> Cleaned:
    """Make raw rows typed, check, clean, label and split them.

    Raises:
        DataError: The rows cannot be used; the headline says why.
        PipelineFileError: A step does not fit the columns.
    """
    rows = Rows(data, task, joined.frame, joined.origin)
    names = [name for name in rows.frame.columns if name in rows.rules]
    before = {name: rows.frame[name] for name in names}
    wrong = {
        name: int(before[name].loc[values.index].isna().sum())
        for name, values in rows.wrong.items()
    }
    reports = list(joined.steps)
    for report in reports:
        _tell(report)

    def do(name: str, apply: Callable[[Rows, StepReport], None]) -> None:
        report = StepReport(name, rows_in=len(rows))
        apply(rows, report)
        report.rows_out = len(rows)
        reports.append(report)
        _tell(report)
        if not len(rows):
            raise DataError(
                f"No row is left after step {name} ({report.about or 'no settings'}).",
                "Loosen the step, or look at what the source gives.",
            )

    for step in data.steps:
        settings: CleaningStep = step.settings
        if settings.needs_split and rows.split_codes is None:
            do("split", assign_splits)
        do(step.kind, settings.apply)
    if rows.split_codes is None:
        do("split", assign_splits)
    _check_complete(rows)
    check_splits(rows)
    after = {name: rows.value(name) for name in names}
    return Cleaned(rows, reports, compare(rows.rules, before, after, wrong))


def _tell(report: StepReport) -> None:
    aside = ", ".join(f"{reason} ({count})" for reason, count in report.quarantined.items())
    told = (report.about, f"Set aside: {aside}" if aside else "", *report.notes)
    about = ". ".join(text for text in told if text)
    log.info("%s: %d rows in, %d out. %s", report.step, report.rows_in, report.rows_out, about)


def _check_complete(rows: Rows) -> None:
    """Refuse now what training would refuse: a value that is missing after all steps."""
    counts = {name: int(rows.value(name).isna().sum()) for name in rows.schema.names}
    if missing := {name: count for name, count in counts.items() if count}:
        found = ", ".join(f"{name} ({count})" for name, count in missing.items())
        raise DataError(
            f"Values are missing after all cleaning steps: {found} of {len(rows)} rows.",
            "Add a `missing` step for these columns, or `nullable: false` to set such rows aside.",
        )


def facts(cleaned: Cleaned) -> dict[str, Any]:
    """Return the counts over all steps: raw_rows + added - dropped - quarantined = rows."""
    return {
        "rows": len(cleaned.rows),
        "raw_rows": cleaned.rows.origin.leading_rows,
        "added": sum(report.joined.get("added", 0) for report in cleaned.steps),
        "dropped": sum(report.dropped for report in cleaned.steps),
        "quarantined": cleaned.rows.quarantine_size,
    }
