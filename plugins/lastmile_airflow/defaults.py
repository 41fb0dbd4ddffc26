"""What all our DAGs have in common: the schedule, retries, timeouts, tags, and who hears of a failure."""

import datetime as dt
from enum import StrEnum
from typing import Any

from airflow.sdk import CronTriggerTimetable

from lastmile_airflow.callbacks import report_task_failure

RUN_TIMEOUT = dt.timedelta(hours=22)
"""A night's run is over, or failed, before the next night's begins."""


class Tag(StrEnum):
    """The tags we give; a pipeline file adds its own."""

    MODEL = "model"
    BROKEN = "broken"
    HOUSEKEEPING = "housekeeping"


# Only a TransientError reaches these retries; `failures` makes every other error final.
DEFAULT_ARGS: dict[str, Any] = {
    "retries": 2,
    "retry_delay": dt.timedelta(seconds=15),
    "retry_exponential_backoff": 2.0,
    "max_retry_delay": dt.timedelta(minutes=10),
    "execution_timeout": dt.timedelta(hours=1),
    "on_failure_callback": report_task_failure,
}


def at(cron: str | None) -> CronTriggerTimetable | str | None:
    """Return the schedule of a cron expression, UTC, whose first run is the next one to come.

    Together with a start date Airflow would start last night's run the moment a DAG is switched on;
    therefore our DAGs have none.
    """
    if cron is None or cron in ("@once", "@continuous"):
        return cron
    return CronTriggerTimetable(cron, timezone="UTC", run_immediately=False)
