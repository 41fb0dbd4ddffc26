"""The `schedule` of a pipeline file."""

from typing import Annotated

from pydantic import AfterValidator

from lastmile.pipeline.faults import Fault, refuse
from lastmile.pipeline.problems import choices

PRESETS = (
    "@hourly",
    "@daily",
    "@weekly",
    "@monthly",
    "@quarterly",
    "@yearly",
    "@once",
    "@continuous",
)
"""Airflow's words."""


def _is_schedule(expression: str | None) -> str | None:
    if expression is not None:
        fault = _preset_fault(expression) if expression.startswith("@") else _cron_fault(expression)
        refuse([fault] if fault else [])
    return expression


Schedule = Annotated[str | None, AfterValidator(_is_schedule)]


def _preset_fault(word: str) -> Fault | None:
    return (
        None if word in PRESETS else Fault((), f"there is no schedule {word!r}", choices(PRESETS))
    )


def _cron_fault(expression: str) -> Fault | None:
    from croniter import CroniterError, croniter  # Airflow has it at hand when it reads the file

    hint = 'As in "0 2 * * *": minute, hour, day of the month, month, day of the week.'
    if "${" in expression:
        hint = "Airflow plans runs without the stages' environment: write the schedule itself here."
        return Fault((), "the schedule cannot refer to the environment", hint)
    if (count := len(expression.split())) != 5:
        return Fault((), f"a cron expression has 5 fields, this has {count}", hint)
    try:
        croniter.expand(expression, strict=True)
    except (CroniterError, ValueError) as error:
        return Fault((), f"no cron expression: {error}", hint)
    return None
