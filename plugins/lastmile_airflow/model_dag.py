"""Builds the DAG of one pipeline file."""

import datetime as dt
from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG, TaskGroup
from airflow.sdk.definitions.param import ParamsDict

from lastmile.errors import LastmileError, PipelineFileError
from lastmile_airflow import assets, pages
from lastmile_airflow.callbacks import report_run_failure
from lastmile_airflow.defaults import DEFAULT_ARGS, RUN_TIMEOUT, Tag, at
from lastmile_airflow.operators import (
    AnnounceOperator,
    ApprovalOperator,
    BrokenPipelineOperator,
    ReleaseOperator,
    StageOperator,
)
from lastmile_airflow.params import run_params

if TYPE_CHECKING:
    from pathlib import Path

    from lastmile.pipeline.definition import Pipeline

TRAIN_TIMEOUT = dt.timedelta(hours=16)
PREPARE_TIMEOUT = dt.timedelta(hours=4)
BROKEN_SCHEDULE = "0 2 * * *"
"""A broken pipeline fails its night, so that its team hears of it."""


def dag_of_file(path: "Path") -> DAG:
    """Return the DAG of a pipeline file; a broken file gets a DAG that says what is wrong with it."""
    from lastmile.pipeline.load import read_pipeline

    try:
        return model_dag(read_pipeline(path))
    except LastmileError as error:
        return broken_dag(path, error)
    except Exception as error:  # whatever is wrong with one file must not hide the other DAGs
        return broken_dag(path, PipelineFileError(f"{path}:1:1: Airflow refuses it: {error}"))


def model_dag(pipeline: "Pipeline") -> DAG:
    """Return a pipeline's DAG: prepare, train, evaluate, package, deploy, announce."""
    name = pipeline.name
    with DAG(
        dag_id=name,
        description=pipeline.description,
        doc_md=pages.pipeline_page(pipeline),
        schedule=at(pipeline.schedule),
        tags=[Tag.MODEL, pipeline.task, *pipeline.tags],
        **_common(pipeline.owner),
    ) as dag:
        with TaskGroup("prepare", tooltip="From raw rows to a dataset"):
            prepared = StageOperator(
                task_id="prepare_dataset",
                pipeline=name,
                stage="prepare",
                execution_timeout=PREPARE_TIMEOUT,
                outlets=[assets.dataset_ready(name)],
            )
        with TaskGroup("train", tooltip="From a dataset to a bundle"):
            trained = StageOperator(
                task_id="train_model",
                pipeline=name,
                stage="train",
                execution_timeout=TRAIN_TIMEOUT,
            )
        with TaskGroup("evaluate", tooltip="From a bundle to a verdict"):
            judged = StageOperator(task_id="judge_candidate", pipeline=name, stage="evaluate")
            approved = ApprovalOperator(
                task_id="is_approved", pipeline=name, outlets=[assets.model_approved(name)]
            )
        with TaskGroup("package", tooltip="From an approved bundle to a release candidate"):
            packaged = StageOperator(task_id="package_release", pipeline=name, stage="package")
        with TaskGroup("deploy", tooltip="From a release candidate into service"):
            released = ReleaseOperator(
                task_id="release_model",
                pipeline=name,
                stage="deploy",
                outlets=[assets.model_released(name)],
            )
        # A teardown runs whatever happened before it, and does not turn a failed run into a success.
        announced = AnnounceOperator(task_id="announce_outcome", pipeline=name).as_teardown()

        # All before `announced` have the rule all_success: skipped or failed once, nothing releases.
        prepared >> trained >> judged >> approved >> packaged >> released >> announced
    _give_params(dag)
    return dag


def _give_params(dag: DAG) -> None:
    """Give a DAG the trigger form, past its constructor.

    That would copy the params into each task and validate their defaults, the same for all pipelines,
    for each anew: half of the time to build a DAG. A test validates them.
    """
    object.__setattr__(dag, "params", ParamsDict(run_params()))


def broken_dag(path: "Path", error: LastmileError) -> DAG:
    """Return the DAG that stands in for a pipeline whose file is wrong; it can only fail."""
    problems = getattr(error, "problems", None) or [error.headline]
    faults = "\n".join(str(problem) for problem in problems)
    with DAG(
        dag_id="".join(c if c.isalnum() or c in "_-." else "_" for c in path.stem),
        description=f"{path.name} has faults; its model is not renewed.",
        doc_md=pages.broken_page(path.name, faults),
        schedule=at(BROKEN_SCHEDULE),
        tags=[Tag.MODEL, Tag.BROKEN],
        **_common("unknown"),
    ) as dag:
        BrokenPipelineOperator(task_id="show_faults", faults=faults)
    return dag


def _common(owner: str) -> dict[str, Any]:
    return {
        "catchup": False,
        "max_active_runs": 1,
        "dagrun_timeout": RUN_TIMEOUT,
        "default_args": {**DEFAULT_ARGS, "owner": owner},
        "on_failure_callback": report_run_failure,
    }
