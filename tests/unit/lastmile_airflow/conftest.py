"""A checkout of the test's own, with one pipeline, as Airflow's processes see it."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import airflow_home
from lastmile.ledger.ledger import Ledger
from lastmile.settings import Settings

ROOT = airflow_home.ROOT

TOY = """\
name: toy
description: A toy.
owner: test-team
task: binary
data:
  sources:
    - {name: loans, sql: {connection: loans_db, query: select 1}}
    - {name: rows, csv: {path: rows.csv}}
  join: {rows: k}
  key: k
  label: {column: y}
team: {tracker: TOY, channel: toys}
"""


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A root with the pipeline `toy`; the settings find it."""
    folder = tmp_path / "include" / "pipelines"
    folder.mkdir(parents=True)
    (folder / "toy.yaml").write_text(TOY)
    monkeypatch.setenv("LASTMILE_ROOT", str(tmp_path))
    return tmp_path


@pytest.fixture
def own_ledger(checkout: Path) -> Ledger:
    """The ledger that callbacks of the checkout write to."""
    return Ledger(Settings(root=checkout).ledger)


class Failing(SimpleNamespace):
    """What Airflow hands to a callback of a failed task, as far as it is read."""


@pytest.fixture
def failure_context() -> Any:
    """Make the context of a failed task; keyword arguments replace the task instance's parts."""

    def make(exception: BaseException | None = None, **parts: Any) -> dict[str, Any]:
        task = SimpleNamespace(task_id="train.train_model", stage="train")
        ti = {
            "dag_id": "toy",
            "run_id": "manual__1",
            "task_id": task.task_id,
            "task": task,
            "try_number": 3,
            "max_tries": 2,
            "state": "failed",
            "log_url": "http://127.0.0.1:8080/log",
        }
        dag = SimpleNamespace(
            dag_id="toy", default_args={"owner": "test-team"}, dagrun_timeout=None
        )
        instance = SimpleNamespace(**{**ti, **parts})
        return {
            "ti": instance,
            "dag": dag,
            "run_id": instance.run_id,
            "exception": exception,
        }

    return make
