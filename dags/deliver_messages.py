"""Delivers what waits in the outbox: tickets to Jira, messages to Slack.

## What

Sends every message that is due. One that fails waits longer each time and is tried again. Without an
account the same text is printed to this task's log and marked as not sent.

## Inputs

The outbox in the ledger; the Airflow connections `jira` and `slack`, both optional.

## Outputs

Tickets, messages, and their state in the outbox.

## When it fails

The ledger does not answer: see LASTMILE_LEDGER_URL. An outside system that is down does not fail this
task; `lastmile incidents` shows what waits and why. Nothing is lost: the next run goes on.

## Owner

Whoever runs this Airflow.
"""

import datetime as dt

from airflow.sdk import dag, task

from lastmile_airflow.callbacks import report_run_failure
from lastmile_airflow.defaults import DEFAULT_ARGS, Tag, at

TIMEOUT = dt.timedelta(minutes=10)


@dag(
    description="Deliver what waits in the outbox.",
    schedule=at("*/5 * * * *"),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,
    dagrun_timeout=TIMEOUT,
    tags=[Tag.HOUSEKEEPING],
    default_args={**DEFAULT_ARGS, "owner": "airflow", "execution_timeout": TIMEOUT},
    on_failure_callback=report_run_failure,
    doc_md=__doc__,
)
def deliver_messages() -> None:
    """Deliver what waits in the outbox."""

    @task
    def send_waiting() -> dict[str, int]:
        from lastmile_airflow.deliver import deliver_waiting

        return deliver_waiting()

    send_waiting()


deliver_messages()
