"""A real Airflow over a project of the tests' own: REST API, scheduler, DAG processor, UI."""

import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import airflow_home  # noqa: F401 - before anything of Airflow
from fakes.jira import FakeJira
from fakes.slack import FakeSlack
from lastmile.ledger.ledger import Ledger
from lastmile.run import StageName, StageRecord, record_name
from lastmile.store import Store
from lastmile_airflow import standalone
from lastmile_airflow.rest import FINAL, AirflowRest
from project import FLOWERS, Project, wait_until, write_flowers

RUN_SECONDS = 150
EVERY_MINUTE = "* * * * *"


@dataclass
class EmbeddedAirflow:
    """What a test needs of the running Airflow."""

    home: Path
    address: str
    rest: AirflowRest
    project: Project
    jira: FakeJira
    slack: FakeSlack

    @property
    def password(self) -> str:
        return standalone.write_password(self.home)

    @property
    def ledger(self) -> Ledger:
        return Ledger(f"sqlite:///{self.project.home / 'ledger.db'}")

    @property
    def store(self) -> Store:
        return Store(f"file://{self.project.home / 'store'}", self.project.home / "cache")

    def finish(self, dag_id: str, run_id: str, seconds: float = RUN_SECONDS) -> dict[str, str]:
        """Wait for a run's end; return the run's state under "" and each task's under its id."""

        def ended() -> dict[str, str] | None:
            run = self.rest.run(dag_id, run_id)
            if run["state"] not in FINAL:
                time.sleep(0.3)
                return None
            tasks = self.rest.tasks(dag_id, run_id)
            if any(
                task["state"] in (None, "scheduled", "queued", "running") for task in tasks.values()
            ):
                return None
            return {"": run["state"], **{name: task["state"] for name, task in tasks.items()}}

        return dict(wait_until(ended, f"the end of {run_id} of {dag_id}", seconds))

    def run(self, dag_id: str, **conf: Any) -> tuple[str, dict[str, str]]:
        """Trigger a run over REST and wait for its end; return its id and the states."""
        run_id = self.rest.trigger(dag_id, conf)
        return run_id, self.finish(dag_id, run_id)

    def record(self, pipeline: str, run_id: str, stage: StageName) -> StageRecord:
        """Return what a stage of a run did, from the store."""
        found = self.store.read_document(record_name(pipeline, run_id, stage), StageRecord)
        assert found is not None, f"{run_id} of {pipeline} has not done {stage}"
        return found


def variant(**parts: Any) -> dict[str, Any]:
    return {**deepcopy(FLOWERS), **parts}


@pytest.fixture(scope="session")
def accounts() -> Iterator[tuple[FakeJira, FakeSlack]]:
    """A Jira and a Slack that the runs tell."""
    with FakeJira() as jira, FakeSlack() as slack:
        yield jira, slack


@pytest.fixture(scope="session")
def airflow(
    accounts: tuple[FakeJira, FakeSlack], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EmbeddedAirflow]:
    """The embedded Airflow of `make demo`, over pipelines of our own."""
    project = Project(tmp_path_factory.mktemp("airflow"))
    write_flowers(project.root / "flowers.csv")
    no_file = {**FLOWERS["data"], "sources": [{"name": "rows", "csv": {"path": "lost.csv"}}]}
    team = {"tracker": "RISK", "channel": "risk-models"}
    project.add("flowers", variant(schedule=None, team=team))
    project.add("nightly", variant(schedule=EVERY_MINUTE))
    project.add("picky", variant(gate={"at_least": {"roc_auc": 0.99999}, "min_rows": 20}))
    project.add("lost", variant(data=no_file, team=team))
    project.add("fragile", variant(train={**FLOWERS["train"], "epochs": 300}))
    project.add("wilted", variant(task="binry"))
    home = project.home / "airflow"
    jira, slack = accounts
    own = {
        "LASTMILE_ROOT": str(project.root),
        "LASTMILE_HOME": str(project.home),
        "AIRFLOW_CONN_JIRA": jira.connection_url,
        "AIRFLOW_CONN_SLACK": slack.connection_url,
    }
    state = standalone.start(home, own, lambda _line: None)
    rest = AirflowRest(state.address, standalone.USER, standalone.write_password(home))
    try:
        wanted = {"flowers", "nightly", "picky", "lost", "fragile", "wilted"}
        wait_until(lambda: wanted <= {dag["dag_id"] for dag in rest.dags()}, "all DAGs parsed")
        for dag_id in wanted:
            rest.unpause(dag_id)
        yield EmbeddedAirflow(home, state.address, rest, project, jira, slack)
    finally:
        rest.close()
        standalone.stop(home)
        project.run("serve", "--stop")


@pytest.fixture
def condition() -> Callable[..., Any]:
    return wait_until
