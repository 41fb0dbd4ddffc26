"""Looks for failures that no callback reported, and records them.

## What

A callback may never come: its process was killed, or the ledger did not answer. This DAG compares what
Airflow says of the last days' runs with the ledger and records what is missing: failed runs, runs that
ended well but were never announced, and events that were spooled to a file.

## Inputs

Airflow's REST API, through the Airflow connection `airflow_api`; the ledger; the spool in the home.

## Outputs

Incidents and messages in the ledger; `deliver_messages` sends them.

## When it fails

No connection `airflow_api`: add one of type http, with host, port, login and password of a user who may
read runs. Else Airflow's API or the ledger does not answer. The next run catches up for three days.

## Owner

Whoever runs this Airflow.
"""

import datetime as dt

from airflow.sdk import dag, task

from lastmile_airflow.callbacks import report_run_failure
from lastmile_airflow.defaults import DEFAULT_ARGS, Tag, at

TIMEOUT = dt.timedelta(minutes=10)


@dag(
    description="Record failures that no callback reported.",
    schedule=at("*/10 * * * *"),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,
    dagrun_timeout=TIMEOUT,
    tags=[Tag.HOUSEKEEPING],
    default_args={**DEFAULT_ARGS, "owner": "airflow", "execution_timeout": TIMEOUT},
    on_failure_callback=report_run_failure,
    doc_md=__doc__,
)
def sweep_incidents() -> None:
    """Record failures that no callback reported."""

    @task
    def record_missed() -> dict[str, int]:
        from dataclasses import asdict

        from lastmile_airflow.failures import translated
        from lastmile_airflow.sweep import sweep_now

        with translated():
            return asdict(sweep_now())

    record_missed()


sweep_incidents()
