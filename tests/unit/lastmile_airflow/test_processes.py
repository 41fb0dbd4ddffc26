import os
import sys
import time
from pathlib import Path

import psutil
import pytest

from lastmile_airflow.processes import Started, end_all, start_detached

FAMILY = (
    "import subprocess, sys, time;"
    "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
    "print('up', flush=True); time.sleep(60)"
)
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    "print('up', flush=True); time.sleep(60)"
)


def start(tmp_path: Path, code: str) -> Started:
    log = tmp_path / "logs" / "log"
    started = start_detached("it", [sys.executable, "-c", code], os.environ, log, tmp_path)
    deadline = time.monotonic() + 10
    while "up" not in log.read_text() and time.monotonic() < deadline:
        time.sleep(0.02)
    return started


def session_of(process: Started) -> list[int]:
    found = []
    for other in psutil.process_iter():
        try:
            if os.getsid(other.pid) == process.pid and other.status() != psutil.STATUS_ZOMBIE:
                found.append(other.pid)
        except (ProcessLookupError, psutil.Error):
            continue
    return found


def test_a_started_process_leads_a_session_of_its_own(tmp_path: Path) -> None:
    process = start(tmp_path, FAMILY)
    try:
        assert process.is_alive
        assert os.getsid(process.pid) == process.pid != os.getsid(0)
    finally:
        end_all([process])


def test_ending_leaves_no_child_behind(tmp_path: Path) -> None:
    process = start(tmp_path, FAMILY)
    assert len(session_of(process)) == 2
    assert end_all([process]) == ["it"]
    assert session_of(process) == []


def test_children_of_a_dead_leader_are_ended_too(tmp_path: Path) -> None:
    process = start(tmp_path, FAMILY)
    psutil.Process(process.pid).kill()
    psutil.Process(process.pid).wait(5)
    assert len(session_of(process)) == 1
    assert end_all([process]) == []
    assert session_of(process) == []


def test_one_that_ignores_the_asking_is_killed(tmp_path: Path) -> None:
    process = start(tmp_path, STUBBORN)
    end_all([process], seconds=0.3)
    assert not process.is_alive


def test_another_process_with_the_same_id_is_not_touched(tmp_path: Path) -> None:
    process = start(tmp_path, FAMILY)
    try:
        imposter = process.model_copy(update={"started_at": process.started_at - 1000})
        assert not imposter.is_alive
        assert end_all([imposter]) == []
        assert process.is_alive
    finally:
        end_all([process])


@pytest.mark.parametrize("pid", [4_000_000])
def test_ending_what_is_gone_is_no_error(pid: int) -> None:
    assert end_all([Started(name="gone", pid=pid, started_at=1.0)]) == []
