"""The DAG folder with fifty pipeline files, against fifty DAG files written by hand.

`python -m benchmarks.dags [--files 50]`. Every parse has a process of its own in which Airflow is imported
before the clock starts. Airflow gives every DAG file such a process, so fifty files by hand take fifty times
what one takes; ours are made by one file. The kinds take turns; the best of five rounds counts.
"""

import argparse
import gc
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from benchmarks._report import Goal, show_goals, show_table

ROOT = Path(__file__).parent.parent
ROUNDS = 5
HEAVY = ("kubernetes", "pandas", "tensorflow")
OURS, PLAIN, NAIVE = (
    "`dags/`, a pipeline file each",
    "a DAG file each, of empty operators",
    "the same, importing pandas at the top",
)


class Parsed(NamedTuple):
    """What one parse took and brought."""

    airflow: float
    """Seconds to import Airflow, before the clock started."""
    seconds: float
    heavy: tuple[str, ...]


BY_HAND = """\
import datetime as dt
{imports}
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, TaskGroup

STAGES = {{
    "prepare": ["prepare_dataset"], "train": ["train_model"], "package": ["package_release"],
    "evaluate": ["judge_candidate", "is_approved"], "deploy": ["release_model"],
}}

with DAG(
    dag_id="model",
    schedule="0 2 * * *",
    start_date=dt.datetime(2026, 1, 1),
    catchup=False,
    default_args={{"retries": 2, "execution_timeout": dt.timedelta(hours=1)}},
) as dag:
    last = None
    for stage, names in STAGES.items():
        with TaskGroup(stage):
            for name in names:
                task = EmptyOperator(task_id=name)
                if last is not None:
                    last >> task
                last = task
    last >> EmptyOperator(task_id="announce_outcome")
"""
"""As many tasks and groups as a pipeline's DAG has."""


def write_pipelines(root: Path, files: int) -> None:
    """Write copies of the larger example, each with a name of its own."""
    folder = root / "include" / "pipelines"
    folder.mkdir(parents=True)
    text = (ROOT / "include" / "pipelines" / "credit_risk.yaml").read_text(encoding="utf-8")
    for i in range(files):
        own = text.replace("name: credit_risk\n", f"name: credit_risk_{i}\n")
        (folder / f"credit_risk_{i}.yaml").write_text(own, encoding="utf-8")


def write_by_hand(folder: Path, imports: str) -> None:
    """Write one DAG file as they are written by hand."""
    folder.mkdir()
    (folder / "model.py").write_text(BY_HAND.format(imports=imports), encoding="utf-8")


def write_airflow_home(home: Path) -> None:
    """Give Airflow a home of its own; our plugin folder is on its path, as in the project's set-up."""
    home.mkdir()
    (home / "airflow.cfg").write_text(
        "[core]\nload_examples = False\n"
        f"dags_folder = {ROOT / 'dags'}\nplugins_folder = {ROOT / 'plugins'}\n"
        f"[database]\nsql_alchemy_conn = sqlite:///{home / 'airflow.db'}\n",
        encoding="utf-8",
    )


def parse(folder: Path) -> None:
    """Parse a DAG folder in this process and print what it took."""
    began = time.perf_counter()
    import airflow.sdk
    from airflow.dag_processing.dagbag import DagBag

    importlib.import_module("airflow.providers.standard.operators.empty")
    for name in ("DAG", "Asset", "BaseOperator", "Param", "TaskGroup", "task"):
        getattr(airflow.sdk, name)  # imported when first asked for
    gc.freeze()  # so does Airflow's DAG processor before it forks for each file
    imported = time.perf_counter()
    bag = DagBag(dag_folder=str(folder), collect_dags=True)
    parsed = time.perf_counter()
    if bag.import_errors:
        raise SystemExit(f"{folder} does not parse: {bag.import_errors}")
    heavy = tuple(name for name in HEAVY if name in sys.modules)
    print(json.dumps((imported - began, parsed - imported, heavy)))


def parse_anew(folder: Path, root: Path, home: Path) -> Parsed:
    """Parse a DAG folder in a new process."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.dags", "--parse", str(folder)],
        cwd=ROOT,
        env={**os.environ, "AIRFLOW_HOME": str(home), "LASTMILE_ROOT": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    return Parsed(*json.loads(done.stdout.splitlines()[-1]))


def measure(files: int) -> dict[str, Parsed]:
    """Let all kinds take turns; return each one's best round."""
    with tempfile.TemporaryDirectory() as scratch:
        root, home = Path(scratch, "project"), Path(scratch, "airflow")
        write_pipelines(root, files)
        write_airflow_home(home)
        folders = {
            OURS: ROOT / "dags",
            PLAIN: Path(scratch, "plain"),
            NAIVE: Path(scratch, "naive"),
        }
        write_by_hand(folders[PLAIN], "")
        write_by_hand(folders[NAIVE], "import pandas as pd")
        for folder in folders.values():  # compiles and caches
            parse_anew(folder, root, home)
        rounds = [
            {kind: parse_anew(folder, root, home) for kind, folder in folders.items()}
            for _ in range(ROUNDS)
        ]
    return {
        kind: min((found[kind] for found in rounds), key=lambda p: p.seconds) for kind in folders
    }


def show(best: dict[str, Parsed], files: int) -> None:
    ours = best[OURS]
    print(f"{files} models; seconds beyond importing Airflow, which took {ours.airflow:.1f} s; "
          f"best of {ROUNDS} rounds, each in a new process\n")  # fmt: skip
    rows = []
    for kind, found in best.items():
        seconds = found.seconds * (1 if kind == OURS else files)
        heavy = ", ".join(found.heavy) or "none"
        rows.append((kind, heavy, f"{seconds:.2f}", f"{seconds / ours.seconds:.1f}"))
    show_table(("what is parsed", "heavy imports", "s", "times ours"), rows, texts=2)
    show_goals(
        Goal("seconds beyond importing Airflow", ours.seconds, 0.3, "s"),
        Goal(f"imports of {', '.join(HEAVY)}", len(ours.heavy), 0),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=50)
    parser.add_argument("--parse", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.parse:
        parse(given.parse)
    else:
        show(measure(given.files), given.files)


if __name__ == "__main__":
    main()
