"""A pipeline's DAG through `dag.test()`: no scheduler, no server, the tasks as they are."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from project import Project

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

ROOT = Path(__file__).parents[2]

PROGRAM = """
import json, sys
from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
from airflow.dag_processing.bundles.manager import DagBundlesManager

DagBundlesManager().sync_bundles_to_db()
bag = DagBag(dag_folder=sys.argv[1], bundle_name="dags-folder", bundle_path=None)
sync_bag_to_db(bag, "dags-folder", None)
run = bag.dags["flowers"].test(run_conf={"reason": "a try"})
states = {task.task_id: str(task.state) for task in run.get_task_instances()}
print("ANSWER" + json.dumps({"run": run.run_id, "state": run.state, "tasks": states}))
"""


def test_a_dag_runs_without_scheduler_and_server(flower_project: Project) -> None:
    environment = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(flower_project.root),
        "AIRFLOW_HOME": str(flower_project.home / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
        "LASTMILE_ROOT": str(flower_project.root),
    }

    def python(*arguments: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-P", *arguments], env=environment, cwd=flower_project.root,
            capture_output=True, text=True, check=False, timeout=240,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done

    python("-m", "airflow", "db", "migrate")
    done = python("-c", PROGRAM, str(ROOT / "dags"))
    answer = json.loads(done.stdout.split("ANSWER")[1])
    assert answer["state"] == "success"
    assert set(answer["tasks"].values()) == {"success"}
    [release] = flower_project.ask("releases", "flowers")["releases"]
    assert (release["run_id"], release["status"]) == (answer["run"], "serving")
    assert flower_project.ask("explain", "flowers")["reason"] == "a try"
