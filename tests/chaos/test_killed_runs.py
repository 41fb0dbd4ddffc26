"""A run that is killed in any stage, or started twice at once, ends with the same result."""

import subprocess
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from lastmile.errors import ExitCode
from project import FLOWERS, Project, wait_until, write_flowers

pytestmark = [pytest.mark.chaos, pytest.mark.slow]

STAGES = ("prepare", "train", "evaluate", "package", "deploy")
MOMENTS = (0.0, 0.5, 3.0)
"""Seconds into the stage's work at which it is killed."""


def artefacts(run: Any) -> dict[str, str]:
    return {stage["stage"]: stage["artefact"]["digest"] for stage in run["stages"][:3]}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the run makes when nobody kills it. Paths and times must not show in it."""
    project = Project(tmp_path_factory.mktemp("undisturbed"))
    project.add("flowers", FLOWERS)
    write_flowers(project.root / "flowers.csv")
    try:
        return artefacts(project.ask("run", "flowers", "--run-id", "r"))
    finally:
        project.run("serve", "--stop")


@pytest.mark.parametrize("stage", STAGES)
def test_a_run_killed_in_a_stage_goes_on_and_ends_the_same(
    flower_project: Project, undisturbed: dict[str, str], stage: str
) -> None:
    for moment in MOMENTS:
        process = flower_project.start("run", "flowers", "--run-id", "r")
        scratch = flower_project.home / "scratch"
        wait_until(partial(_has_ended_or_is_at, stage, process, scratch), f"{stage} at work")
        time.sleep(moment)
        flower_project.kill(process)
        _kill_stages(flower_project)
    outcome = flower_project.ask("run", "flowers", "--run-id", "r")
    assert artefacts(outcome) == undisturbed
    releases = flower_project.ask("releases", "flowers")["releases"]
    assert [release["status"] for release in releases].count("serving") == 1
    assert {release["bundle"] for release in releases} == {undisturbed["train"]}


def _has_ended_or_is_at(stage: str, process: subprocess.Popen[str], scratch: Path) -> bool:
    if process.poll() is not None:
        return True
    return scratch.exists() and any(path.name.startswith(f"{stage}-") for path in scratch.iterdir())


def _kill_stages(project: Project) -> None:
    """A stage is a session of its own: it outlives the killed command for a moment. Kill it too."""
    import psutil

    for path in (project.home / "scratch").glob("*-*-*"):
        try:
            process = psutil.Process(int(path.name.split("-")[1]))
            for child in process.children(recursive=True):
                child.kill()
            process.kill()
            process.wait(10)
        except psutil.NoSuchProcess:
            continue


def test_the_same_run_twice_at_once_is_done_once(flower_project: Project) -> None:
    both = [flower_project.start("run", "flowers", "--run-id", "r", "--json") for _ in range(2)]
    ended = [(process.communicate(), process.returncode) for process in both]
    codes = [code for _, code in ended]
    assert set(codes) <= {ExitCode.DONE, ExitCode.TRANSIENT}, [output for output, _ in ended]
    assert ExitCode.DONE in codes
    for (out, _), code in ended:
        if code == ExitCode.TRANSIENT:
            assert "busy" in out
    releases = flower_project.ask("releases", "flowers")["releases"]
    assert [release["status"] for release in releases] == ["serving"]
