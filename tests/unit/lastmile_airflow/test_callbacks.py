from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from lastmile.errors import DataError, ServiceUnavailableError
from lastmile.ledger.ledger import Ledger
from lastmile.team.listing import list_incidents
from lastmile_airflow.callbacks import report_run_failure, report_task_failure
from lastmile_airflow.failures import translated


def raised_by_a_task(error: Exception) -> Exception:
    try:
        with translated():
            raise error
    except AirflowException as raised:
        return raised


def headlines(ledger: Ledger) -> list[tuple[str, str, int]]:
    return [
        (one.incident.stage, one.incident.headline, one.incident.occurrences)
        for one in list_incidents(ledger).open
    ]


def test_a_failed_task_becomes_an_incident_with_headline_hint_and_team(
    own_ledger: Ledger, failure_context: Any
) -> None:
    error = raised_by_a_task(DataError("rows.csv is empty.", "Put rows into it."))
    report_task_failure(failure_context(error))
    (one,) = list_incidents(own_ledger).open
    assert (one.incident.headline, one.incident.hint) == ("rows.csv is empty.", "Put rows into it.")
    assert {told.destination for told in one.told} == {"TOY", "toys"}


def test_a_callback_that_comes_twice_changes_nothing(
    own_ledger: Ledger, failure_context: Any
) -> None:
    context = failure_context(raised_by_a_task(DataError("rows.csv is empty.")))
    report_task_failure(context)
    report_task_failure(context)
    assert headlines(own_ledger) == [("train", "rows.csv is empty.", 1)]


def test_the_runs_report_after_the_tasks_changes_nothing(
    own_ledger: Ledger, failure_context: Any
) -> None:
    report_task_failure(failure_context(raised_by_a_task(DataError("rows.csv is empty."))))
    report_run_failure({**failure_context(None), "reason": "task_failure"})
    assert headlines(own_ledger) == [("train", "rows.csv is empty.", 1)]


def test_the_runs_report_stands_in_for_a_task_that_could_not_speak(
    own_ledger: Ledger, failure_context: Any
) -> None:
    report_run_failure({**failure_context(None), "reason": "task_failure"})
    assert headlines(own_ledger) == [("train", "The stage train ended without a word.", 1)]


def test_a_second_attempt_that_fails_alike_is_counted_on_the_same_incident(
    own_ledger: Ledger, failure_context: Any
) -> None:
    error = raised_by_a_task(DataError("rows.csv is empty."))
    report_task_failure(failure_context(error))
    report_task_failure(failure_context(error, try_number=4, max_tries=3))
    assert headlines(own_ledger) == [("train", "rows.csv is empty.", 2)]


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param({"state": "up_for_retry", "try_number": 1}, id="will be tried again"),
        pytest.param({"state": None, "try_number": 1}, id="called before the state is known"),
        pytest.param({"state": "upstream_failed"}, id="another task failed"),
        pytest.param({"state": "skipped"}, id="skipped"),
    ],
)
def test_what_is_no_failure_yet_is_no_incident(
    own_ledger: Ledger, failure_context: Any, parts: dict[str, Any]
) -> None:
    error = raised_by_a_task(ServiceUnavailableError("The database is away."))
    report_task_failure(failure_context(error, **parts))
    assert headlines(own_ledger) == []


def test_a_final_error_is_an_incident_though_attempts_are_left(
    own_ledger: Ledger, failure_context: Any
) -> None:
    error = raised_by_a_task(DataError("rows.csv is empty."))
    assert isinstance(error, AirflowFailException)
    report_task_failure(failure_context(error, state=None, try_number=1))
    assert headlines(own_ledger) == [("train", "rows.csv is empty.", 1)]


def test_a_run_that_took_too_long_is_an_incident_of_the_run(
    own_ledger: Ledger, failure_context: Any
) -> None:
    report_run_failure({**failure_context(None), "reason": "timed_out"})
    ((step, headline, _),) = headlines(own_ledger)
    assert step == "run"
    assert "did not end within" in headline


def test_a_bare_context_as_airflow_gives_without_a_task_is_enough(
    own_ledger: Ledger, failure_context: Any
) -> None:
    full = failure_context(None)
    report_run_failure(
        {"dag": full["dag"], "run_id": "manual__1", "reason": "all_tasks_deadlocked"}
    )
    ((_, headline, _),) = headlines(own_ledger)
    assert "all_tasks_deadlocked" in headline


def test_a_dag_without_a_pipeline_file_is_reported_to_its_owner(
    own_ledger: Ledger, failure_context: Any
) -> None:
    context = failure_context(AirflowFailException("boom"), dag_id="gone")
    report_task_failure(context)
    (one,) = list_incidents(own_ledger).open
    assert (one.incident.pipeline, one.incident.owner) == ("gone", "test-team")


def test_a_callback_never_raises(
    monkeypatch: pytest.MonkeyPatch, failure_context: Any, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("LASTMILE_WORKERS", "none")
    report_task_failure(failure_context(AirflowFailException("boom")))
    report_run_failure({})
    assert caplog.text.count("the sweep will find it") == 2
