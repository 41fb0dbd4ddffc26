"""The DAG folder as Airflow parses it."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import airflow_home

if TYPE_CHECKING:
    from airflow.dag_processing.dagbag import DagBag
    from airflow.sdk import DAG

ROOT = airflow_home.ROOT

BROKEN = """\
name: broken_one
owner: nobody
task: binary
data:
  sources:
    - {name: rows, csv: {path: rows.csv}}
  label: {colum: y}
"""

NOT_YAML = "name: [unclosed\n"


@pytest.fixture(scope="session")
def parse() -> Callable[[Path], "DagBag"]:
    """Parse dags/ over the pipeline files of a root."""

    def parse_root(root: Path) -> "DagBag":
        from airflow.dag_processing.dagbag import DagBag

        before = os.environ.get("LASTMILE_ROOT")
        os.environ["LASTMILE_ROOT"] = str(root)
        try:
            return DagBag(dag_folder=str(ROOT / "dags"), collect_dags=True)
        finally:
            if before is None:
                del os.environ["LASTMILE_ROOT"]
            else:
                os.environ["LASTMILE_ROOT"] = before

    return parse_root


@pytest.fixture(scope="session")
def dagbag(parse: Callable[[Path], "DagBag"]) -> "DagBag":
    """All DAGs of the checkout."""
    return parse(ROOT)


@pytest.fixture(scope="session")
def dags(dagbag: "DagBag") -> dict[str, "DAG"]:
    """All DAGs of the checkout, by id."""
    return dict(dagbag.dags)


@pytest.fixture(scope="session")
def model_dags(dags: dict[str, "DAG"]) -> dict[str, "DAG"]:
    """The DAGs made from pipeline files."""
    return {dag_id: dag for dag_id, dag in dags.items() if "model" in dag.tags}


@pytest.fixture(scope="session")
def mixed_dags(
    parse: Callable[[Path], "DagBag"], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, "DAG"]:
    """DAGs over a sound pipeline file and two broken ones."""
    root = tmp_path_factory.mktemp("mixed")
    folder = root / "include" / "pipelines"
    folder.mkdir(parents=True)
    sound = (ROOT / "include" / "pipelines" / "medical_diagnosis.yaml").read_text()
    (folder / "medical_diagnosis.yaml").write_text(sound)
    (folder / "broken_one.yaml").write_text(BROKEN)
    (folder / "not yaml.yaml").write_text(NOT_YAML)
    bag = parse(root)
    assert bag.import_errors == {}
    return dict(bag.dags)
