"""`make demo`, as a stranger runs it: what it prints is true, again it reuses, `make stop` ends it."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from lastmile.artefacts.verdict import Verdict

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
STAGES = ("prepare", "train", "evaluate", "approve", "package", "deploy", "announce")

Demo = Callable[[str], str]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def demo(home: Path) -> Iterator[Demo]:
    """Run the demo on this checkout, with a home of its own."""

    def run(what: str) -> str:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("AIRFLOW_", "LASTMILE_"))}
        done = subprocess.run(
            [sys.executable, "-m", "lastmile_airflow.demo", what], cwd=ROOT, timeout=280,
            env={**kept, "LASTMILE_HOME": str(home)}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stderr == ""
        return done.stdout

    yield run
    run("stop")


@pytest.fixture(scope="module")
def first(demo: Demo) -> str:
    return demo("start")


def test_it_shows_every_stage_with_its_time(first: str) -> None:
    for stage in STAGES:
        assert re.search(rf"^  {stage} +\d+\.\d s  done", first, re.MULTILINE), stage


def test_it_shows_the_verdict_with_values_thresholds_and_reasons(first: str, home: Path) -> None:
    assert "Verdict: PROMOTE (on 119 test rows)" in first
    [file] = (home / "store" / "artefacts").glob("*/verdict.json")
    verdict = Verdict.model_validate_json(file.read_bytes())
    for check in verdict.checks:
        line = next(line for line in first.splitlines() if f" {check.name} " in line)
        assert check.reason in line
    roc_auc = next(metric.value for metric in verdict.metrics if metric.name == "roc_auc")
    assert roc_auc is not None
    assert roc_auc >= 0.97


def test_the_curl_line_works_when_pasted(first: str) -> None:
    lines = first.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("curl "))
    pasted = subprocess.run(
        ["bash", "-c", lines[at]], capture_output=True, text=True, check=True, timeout=30
    )
    assert json.loads(pasted.stdout) == json.loads(lines[at + 1])
    assert json.loads(pasted.stdout)["model"] == "medical_diagnosis"


def test_it_shows_what_the_team_would_have_been_told(first: str) -> None:
    assert "Jira ticket in MED, not sent: no account" in first
    assert "Slack message to #model-releases, not sent: no account" in first
    assert "Version 1 of medical_diagnosis is in service" in first


def test_the_login_works(first: str) -> None:
    import airflow_home  # noqa: F401 - before anything of Airflow
    from lastmile_airflow.rest import AirflowRest

    found = re.search(r"Airflow: (http://127\.0\.0\.1:\d+)\nuser (\w+), password (\S+)", first)
    assert found
    rest = AirflowRest(*found.groups())
    paused = {dag["dag_id"]: dag["is_paused"] for dag in rest.dags()}
    rest.close()
    assert paused == dict.fromkeys(paused, False)
    assert {"medical_diagnosis", "credit_risk"} <= paused.keys()


def test_again_it_says_what_it_reused_and_stop_ends_all_of_it(
    demo: Demo, first: str, home: Path
) -> None:
    again = demo("start")
    assert "medical_diagnosis  ready  1" in again
    for stage in ("prepare", "train"):
        assert re.search(rf"^  {stage} .*reused from manual__", again, re.MULTILINE), stage
    assert re.search(r"^  deploy .*skipped +Nothing has changed", again, re.MULTILINE)
    assert "medical_diagnosis: nothing was released" in again

    ended = demo("stop")
    for name in ("api-server", "scheduler", "dag-processor", "medical_diagnosis's server"):
        assert name in ended
    assert demo("stop").strip() == "Nothing was running."
    assert [p.pid for p in psutil.process_iter() if str(home) in " ".join(_command(p))] == []


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline() + [f"{k}={v}" for k, v in process.environ().items()]
    except psutil.Error:
        return []
