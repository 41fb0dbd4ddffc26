"""A stage's child process answers with a record or with its own error, and never outlives its parent."""

import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from lastmile.errors import PipelineFileError, SettingsError, TransientError
from lastmile.run import RunOptions, StageName
from lastmile.runtime import LocalRuntime, stage_command
from project import wait_until

PREPARE = StageName.PREPARE


def test_the_command_is_the_one_that_pods_run() -> None:
    options = RunOptions(workers=2, force=True, reason="--odd words", requested_by="ana")
    assert stage_command(StageName.TRAIN, "toy", "a b", options) == [
        "train", "toy", "--run-id", "a b", "--json", "--workers", "2", "--force",
        "--reason=--odd words", "--requested-by=ana",
    ]  # fmt: skip


def test_the_childs_error_comes_back_as_its_own_class(tmp_path: Path) -> None:
    lines: list[str] = []
    runtime = LocalRuntime({"LASTMILE_ROOT": str(tmp_path)})
    with pytest.raises(PipelineFileError, match="no pipeline 'nothing'") as caught:
        runtime.run(PREPARE, "nothing", "r", RunOptions(), lines.append)
    assert caught.value.hint
    assert any("no pipeline" in line for line in lines)


def test_a_wrong_setting_of_the_child_is_reported(tmp_path: Path) -> None:
    runtime = LocalRuntime({"LASTMILE_ROOT": str(tmp_path), "LASTMILE_WORKERS": "many"})
    with pytest.raises(SettingsError, match="LASTMILE_WORKERS is 'many'"):
        runtime.run(PREPARE, "nothing", "r", RunOptions(), lambda _line: None)


PARENT = """
import sys
from lastmile.run import RunOptions, StageName
from lastmile.runtime import LocalRuntime
LocalRuntime({"LASTMILE_ROOT": sys.argv[1]}).run(
    StageName.PREPARE, "slow", "r", RunOptions(), lambda line: None)
"""


@pytest.fixture
def slow_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a project whose one pipeline has a source that takes ten minutes."""
    folder = tmp_path / "include" / "pipelines"
    folder.mkdir(parents=True)
    (folder / "slow.yaml").write_text(
        "name: slow\nowner: us\ntask: binary\ndata:\n  label: {column: y}\n"
        "  sources:\n    - {name: rows, python: {call: slow_rows.rows}}\n"
    )
    (tmp_path / "slow_rows.py").write_text("import time\n\ndef rows():\n    time.sleep(600)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path


def stage_at_work(root: Path) -> psutil.Process:
    scratch = root / ".lastmile" / "scratch"
    [folder] = wait_until(lambda: scratch.exists() and list(scratch.iterdir()), "the stage at work")
    return psutil.Process(int(folder.name.split("-")[1]))


@pytest.mark.slow
def test_a_killed_stage_is_transient_and_names_the_signal(slow_root: Path) -> None:
    runtime = LocalRuntime({"LASTMILE_ROOT": str(slow_root)})
    killer = threading.Thread(target=lambda: stage_at_work(slow_root).kill())
    killer.start()
    with pytest.raises(TransientError, match="ended by SIGKILL") as caught:
        runtime.run(PREPARE, "slow", "r", RunOptions(), lambda _line: None)
    killer.join()
    assert "memory" in caught.value.hint


@pytest.mark.slow
def test_a_stopped_stage_says_so(slow_root: Path) -> None:
    runtime = LocalRuntime({"LASTMILE_ROOT": str(slow_root)})

    def stop() -> None:
        stage_at_work(slow_root)
        runtime.stop()

    stopper = threading.Thread(target=stop)
    stopper.start()
    with pytest.raises(TransientError, match="Stopped by SIGTERM"):
        runtime.run(PREPARE, "slow", "r", RunOptions(), lambda _line: None)
    stopper.join()


@pytest.mark.slow
def test_a_stage_ends_with_the_process_that_waits_for_it(slow_root: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(slow_root)])
    try:
        stage = stage_at_work(slow_root)
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    stage.wait(timeout=15)
