"""What every DAG of ours owes to the people who run it. Each message says how to mend it."""

import datetime as dt
from typing import TYPE_CHECKING

from lastmile_airflow.callbacks import report_run_failure, report_task_failure
from lastmile_airflow.defaults import at

if TYPE_CHECKING:
    from airflow.sdk import DAG

OUTLINE = ["## What", "## Inputs", "## Outputs", "## When it fails", "## Owner"]


def test_the_page_has_the_outline(dags: dict[str, "DAG"], mixed_dags: dict[str, "DAG"]) -> None:
    for dag in [*dags.values(), *mixed_dags.values()]:
        found = [line for line in (dag.doc_md or "").splitlines() if line.startswith("## ")]
        assert found == OUTLINE, f"{dag.dag_id}: its docstring or page needs {OUTLINE}"


def test_tags_owner_and_description(dags: dict[str, "DAG"]) -> None:
    for dag in dags.values():
        assert {"model", "housekeeping"} & set(dag.tags), f"{dag.dag_id}: see defaults.Tag"
        assert dag.description, f"{dag.dag_id}: give it a description"
        for task in dag.tasks:
            assert task.owner != "airflow" or "housekeeping" in dag.tags, (
                "name the pipeline's owner"
            )


def test_a_model_dag_names_its_pipelines_owner_and_task(model_dags: dict[str, "DAG"]) -> None:
    diagnosis = model_dags["medical_diagnosis"]
    assert {task.owner for task in diagnosis.tasks} == {"clinical-ai"}
    assert {"model", "binary", "health"} <= set(diagnosis.tags)


def test_one_run_at_a_time_no_catching_up_no_moving_start(dags: dict[str, "DAG"]) -> None:
    for dag in dags.values():
        assert dag.max_active_runs == 1, f"{dag.dag_id}: two runs would deploy at once"
        assert dag.catchup is False, f"{dag.dag_id}: old nights must not be repeated"
        assert dag.start_date is None, f"{dag.dag_id}: see defaults.at"


def test_models_are_renewed_every_night(model_dags: dict[str, "DAG"]) -> None:
    for dag in model_dags.values():
        assert dag.timetable == at("0 2 * * *"), dag.dag_id


def test_everything_has_a_deadline(dags: dict[str, "DAG"]) -> None:
    for dag in dags.values():
        assert dag.dagrun_timeout is not None, f"{dag.dag_id}: set dagrun_timeout"
        for task in dag.tasks:
            assert task.execution_timeout, f"{dag.dag_id}.{task.task_id}: set execution_timeout"
            assert task.execution_timeout < dag.dagrun_timeout + dt.timedelta(seconds=1)


def test_every_failure_is_reported(dags: dict[str, "DAG"], mixed_dags: dict[str, "DAG"]) -> None:
    for dag in [*dags.values(), *mixed_dags.values()]:
        assert dag.on_failure_callback == [report_run_failure] or (
            dag.on_failure_callback is report_run_failure
        ), f"{dag.dag_id}: set on_failure_callback"
        for task in dag.tasks:
            assert list(task.on_failure_callback) == [report_task_failure], (
                f"{dag.dag_id}.{task.task_id}: use DEFAULT_ARGS"
            )


def test_what_is_transient_is_tried_again(dags: dict[str, "DAG"]) -> None:
    for dag in dags.values():
        for task in dag.tasks:
            assert task.retries == 2, f"{dag.dag_id}.{task.task_id}: use DEFAULT_ARGS"


def test_house_keeping_is_on_from_the_start(dags: dict[str, "DAG"]) -> None:
    for dag_id in ("deliver_messages", "sweep_incidents"):
        assert dags[dag_id].is_paused_upon_creation is False
