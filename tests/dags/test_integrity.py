"""The DAG folder parses, everywhere, to exactly the DAGs and tasks we know."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from airflow.dag_processing.dagbag import DagBag
    from airflow.sdk import DAG

ROOT = Path(__file__).parents[2]

HOUSEKEEPING = {"deliver_messages": {"send_waiting"}, "sweep_incidents": {"record_missed"}}
MODEL_TASKS = {
    "prepare.prepare_dataset",
    "train.train_model",
    "evaluate.judge_candidate",
    "evaluate.is_approved",
    "package.package_release",
    "deploy.release_model",
    "announce_outcome",
}

ALONE = """
import json, os, pathlib, socket, sys

def refuse(*_arguments, **_options):
    raise RuntimeError("a DAG file opened a socket")

import airflow
from airflow.dag_processing.dagbag import DagBag

socket.socket.connect = socket.create_connection = refuse
writes = []
sys.addaudithook(
    lambda event, arguments: writes.append(str(arguments[0]))
    if event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
    else None
)
bag = DagBag(dag_folder=sys.argv[1], collect_dags=True)
heavy = ("pandas", "numpy", "tensorflow", "keras", "kubernetes", "mlflow", "sklearn", "pyarrow")
print("ANSWER" + json.dumps({
    "errors": bag.import_errors,
    "dags": sorted(bag.dags),
    "heavy": [name for name in heavy if name in sys.modules],
    "writes": writes,
}))
"""


def test_no_file_has_an_import_error(dagbag: "DagBag") -> None:
    assert dagbag.import_errors == {}


def test_there_is_one_dag_per_pipeline_file_and_the_house_keeping(dags: dict[str, "DAG"]) -> None:
    pipelines = {file.stem for file in (ROOT / "include" / "pipelines").glob("*.yaml")}
    assert pipelines >= {"medical_diagnosis", "credit_risk"}
    assert set(dags) == pipelines | set(HOUSEKEEPING)


def test_every_model_dag_has_exactly_these_tasks(model_dags: dict[str, "DAG"]) -> None:
    assert {dag_id: set(dag.task_ids) for dag_id, dag in model_dags.items()} == dict.fromkeys(
        model_dags, MODEL_TASKS
    )


def test_house_keeping_dags_have_exactly_these_tasks(dags: dict[str, "DAG"]) -> None:
    assert {dag_id: set(dags[dag_id].task_ids) for dag_id in HOUSEKEEPING} == HOUSEKEEPING


def test_a_model_dag_shows_a_group_per_stage(model_dags: dict[str, "DAG"]) -> None:
    for dag in model_dags.values():
        groups = {group for group in dag.task_group_dict if group}
        assert groups == {"prepare", "train", "evaluate", "package", "deploy"}


def test_parsing_needs_no_environment_no_network_no_heavy_library_and_writes_nothing(
    tmp_path: Path,
) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-c", ALONE, str(ROOT / "dags")],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONDONTWRITEBYTECODE": "1",
            "AIRFLOW_HOME": str(tmp_path),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    answer = json.loads(done.stdout.split("ANSWER")[1])
    assert answer["errors"] == {}
    assert "medical_diagnosis" in answer["dags"]
    assert answer["heavy"] == []
    assert answer["writes"] == []


class TestBrokenPipelineFile:
    def test_it_takes_no_other_dag_down(self, mixed_dags: dict[str, "DAG"]) -> None:
        assert set(mixed_dags) == {"medical_diagnosis", "broken_one", "not_yaml", *HOUSEKEEPING}
        assert set(mixed_dags["medical_diagnosis"].task_ids) == MODEL_TASKS

    @pytest.mark.parametrize(
        ("dag_id", "fault"),
        [
            pytest.param("broken_one", "broken_one.yaml:7:11: data.label.colum", id="schema"),
            pytest.param("not_yaml", "not yaml.yaml:2:1: not YAML", id="syntax"),
        ],
    )
    def test_its_page_shows_file_line_and_column(
        self, mixed_dags: dict[str, "DAG"], dag_id: str, fault: str
    ) -> None:
        dag = mixed_dags[dag_id]
        assert "broken" in dag.tags
        assert fault in (dag.doc_md or "")

    def test_its_only_task_fails_with_the_faults(self, mixed_dags: dict[str, "DAG"]) -> None:
        from airflow.sdk.exceptions import AirflowFailException

        from lastmile_airflow.operators import BrokenPipelineOperator

        (task,) = mixed_dags["broken_one"].tasks
        assert isinstance(task, BrokenPipelineOperator)
        with pytest.raises(AirflowFailException, match=r"broken_one\.yaml:7:11"):
            BrokenPipelineOperator.execute.__wrapped__(task, {})
