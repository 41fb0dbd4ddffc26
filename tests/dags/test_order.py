"""Vital order: nothing is released that was not approved, whatever else happens."""

from typing import TYPE_CHECKING

import pytest
from airflow.sdk import TriggerRule

if TYPE_CHECKING:
    from airflow.sdk import DAG

CHAIN = [
    "prepare.prepare_dataset",
    "train.train_model",
    "evaluate.judge_candidate",
    "evaluate.is_approved",
    "package.package_release",
    "deploy.release_model",
    "announce_outcome",
]


def upstream(dag: "DAG", task_id: str) -> set[str]:
    return set(dag.get_task(task_id).get_flat_relative_ids(upstream=True))


@pytest.mark.parametrize("position", range(len(CHAIN)))
def test_every_task_waits_for_all_before_it(model_dags: dict[str, "DAG"], position: int) -> None:
    for dag in model_dags.values():
        assert upstream(dag, CHAIN[position]) == set(CHAIN[:position])


def test_whatever_may_release_runs_only_after_success(model_dags: dict[str, "DAG"]) -> None:
    for dag in model_dags.values():
        for task_id in CHAIN[:-1]:
            task = dag.get_task(task_id)
            assert task.trigger_rule == TriggerRule.ALL_SUCCESS, task_id
            assert not task.is_teardown, task_id


def test_the_end_is_announced_whatever_happened(model_dags: dict[str, "DAG"]) -> None:
    for dag in model_dags.values():
        announce = dag.get_task("announce_outcome")
        assert announce.is_teardown
        # Else a run whose stage failed would end in success because its last task did.
        assert announce.on_failure_fail_dagrun is False
        assert announce.downstream_task_ids == set()


def test_each_milestone_is_published_where_it_becomes_true(model_dags: dict[str, "DAG"]) -> None:
    dag = model_dags["medical_diagnosis"]
    published = {task.task_id: [asset.uri for asset in task.outlets] for task in dag.tasks}
    assert {task_id: uris for task_id, uris in published.items() if uris} == {
        "prepare.prepare_dataset": ["lastmile://medical_diagnosis/dataset"],
        "evaluate.is_approved": ["lastmile://medical_diagnosis/approved"],
        "deploy.release_model": ["lastmile://medical_diagnosis/released"],
    }
