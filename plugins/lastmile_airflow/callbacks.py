"""What Airflow calls when a task or a run has failed. It only records; others deliver.

A callback may come twice, too early, or never. Each failure has a key, so a second report of it changes
nothing; a task that Airflow will try again has not failed; what no callback reported the sweep DAG finds.
A callback never raises: Airflow's own log then still shows the failure that mattered.
"""

import logging
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowFailException

from lastmile.errors import LastmileError, TransientError

if TYPE_CHECKING:
    from airflow.sdk import Context as AirflowContext

log = logging.getLogger(__name__)

NO_INCIDENT = frozenset({"up_for_retry", "upstream_failed", "skipped", "success", "removed"})
"""States of a task that a callback may be called for by mistake."""

WHOLE_RUN = "run"
"""The step of a failure that is no single task's."""


def report_task_failure(context: "AirflowContext") -> None:
    """Record that a task has failed for good."""
    try:
        if _is_final(context):
            _report_task(context)
        else:
            log.info("%s will be tried again; not reported.", context["ti"].task_id)
    except Exception:
        log.exception("A failure was not recorded; the sweep will find it.")


def report_run_failure(context: "AirflowContext") -> None:
    """Record that a run has failed: the task's own report, if it came, is not repeated."""
    try:
        why = str(context.get("reason") or "")
        if why != "timed_out" and context.get("ti") is not None:
            _report_task(context)
        else:
            dag, run_id = context["dag"], str(context["run_id"])
            report(dag.dag_id, run_id, WHOLE_RUN, run_error(dag, run_id, why), 0, owner_of(dag))
    except Exception:
        log.exception("A failure was not recorded; the sweep will find it.")


def report(
    dag_id: str,
    run_id: str,
    step: str,
    error: BaseException | None,
    attempt: int,
    owner: str,
    log_url: str = "",
) -> None:
    """Record one failure of a run; the same one again changes nothing.

    Args:
        dag_id: The pipeline, or a DAG of ours that is none.
        run_id: Airflow's run.
        step: The stage or task; WHOLE_RUN for none.
        error: Why; None where nobody knows.
        attempt: The task's attempt.
        owner: Who to name where there is no pipeline file to ask.
        log_url: Where the task's log can be read.
    """
    from lastmile.team.record import record_safely
    from lastmile_airflow.environment import airflow_settings
    from lastmile_airflow.events import failure_event

    settings = airflow_settings()
    event = failure_event(settings, dag_id, run_id, step, error, owner, log_url)
    record_safely(settings, event, failure_key(dag_id, run_id, step, attempt))


def failure_key(dag_id: str, run_id: str, step: str, attempt: int) -> str:
    """Name a failure among all: whoever reports it, it is the same."""
    return f"{dag_id}/{run_id}/{step}/{attempt}"


def step_of(task: Any) -> str:
    """Return what a task is called in incidents: its stage, else its own name."""
    return str(getattr(task, "stage", "") or task.task_id.rpartition(".")[2])


def owner_of(dag: Any) -> str:
    """Return the owner that a DAG's tasks have."""
    return str(dag.default_args.get("owner") or "airflow")


def run_error(dag: Any, run_id: str, why: str) -> LastmileError:
    """Return the error of a run that no single task explains."""
    if why == "timed_out":
        return TransientError(
            f"Run {run_id} of {dag.dag_id} did not end within {dag.dagrun_timeout}.",
            "See which task took so long; clear it, or trigger a new run.",
        )
    return TransientError(
        f"Run {run_id} of {dag.dag_id} failed: {why or 'Airflow does not say why'}.",
        "Look at the run in Airflow; clear what failed.",
    )


def _report_task(context: "AirflowContext") -> None:
    ti = context["ti"]
    report(
        ti.dag_id,
        ti.run_id,
        step_of(ti.task),
        _cause(context),
        ti.try_number,
        owner_of(context["dag"]),
        _log_url(ti),
    )


def _is_final(context: "AirflowContext") -> bool:
    """Tell a failure from one that Airflow will try again."""
    ti = context["ti"]
    state = str(getattr(ti.state, "value", ti.state) or "")
    if state in NO_INCIDENT:
        return False
    error = context.get("exception")
    if error is None or isinstance(error, AirflowFailException) or state == "failed":
        return True
    return bool(ti.try_number > (getattr(ti, "max_tries", None) or 0))


def _cause(context: "AirflowContext") -> BaseException | None:
    """Return our own error behind Airflow's exception, where there is one."""
    error = context.get("exception")
    if isinstance(error, BaseException):
        return error.__cause__ if isinstance(error.__cause__, LastmileError) else error
    return None


def _log_url(ti: Any) -> str:
    try:
        return str(ti.log_url)
    except (AttributeError, TypeError, ValueError):
        return ""
