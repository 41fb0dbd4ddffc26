"""Processes of ours that outlive the command that started them: begun detached, known again, ended.

A process is known by its id together with the moment it started, so that another one that got the same
id later is never touched.
"""

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

import psutil

from lastmile.pipeline.base import Strict

SAME_START_SECONDS = 1.0
"""Two readings of one process's start differ by less."""


class Started(Strict):
    """A process in a session of its own, with all that it starts."""

    name: str
    pid: int
    started_at: float
    """Seconds since 1970, as the operating system tells it."""

    @property
    def is_alive(self) -> bool:
        """Whether it still runs."""
        return _is_same(self.pid, self.started_at)


def start_detached(
    name: str, command: list[str], environment: Mapping[str, str], log: Path, folder: Path
) -> Started:
    """Start a program that outlives us; what it prints goes to the end of a file."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=dict(environment),
            cwd=folder,
            start_new_session=True,
        )
    child.returncode = 0  # it outlives us: there is nothing to wait for, and nothing to warn of
    return Started(name=name, pid=child.pid, started_at=psutil.Process(child.pid).create_time())


def end_all(processes: list[Started], seconds: float = 15.0) -> list[str]:
    """End processes and all in their sessions: ask, wait, then insist. Returns the names ended."""
    members = {member.pid: member for process in processes for member in _session(process)}
    ended = [process.name for process in processes if process.is_alive]
    for process in processes:
        # The leader first: it ends its own children in good order.
        if process.is_alive:
            _signal(process.pid, signal.SIGTERM)
    leaders = [members[p.pid] for p in processes if p.pid in members]
    psutil.wait_procs(leaders, timeout=seconds)
    for process in processes:
        members |= {member.pid: member for member in _session(process)}
    for wanted in (signal.SIGTERM, signal.SIGKILL):
        rest = [member for member in members.values() if member.is_running()]
        for member in rest:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.send_signal(wanted)
        psutil.wait_procs(rest, timeout=3.0)
    return ended


def _session(process: Started) -> list[psutil.Process]:
    """Return all that is in a process's session, whether or not the process itself still runs.

    An id stays taken while its session lives, so nobody else can have got it.
    """
    found = []
    for other in psutil.process_iter():
        with contextlib.suppress(psutil.Error, ProcessLookupError, PermissionError):
            if os.getsid(other.pid) != process.pid:
                continue
            if other.create_time() >= process.started_at - SAME_START_SECONDS:
                found.append(other)
    leader = next((other for other in found if other.pid == process.pid), None)
    if leader is not None and not process.is_alive:
        return []  # the id now leads another session
    return found


def _is_same(pid: int, started_at: float) -> bool:
    try:
        process = psutil.Process(pid)
        return (
            abs(process.create_time() - started_at) < SAME_START_SECONDS
            and process.status() != psutil.STATUS_ZOMBIE
        )
    except psutil.NoSuchProcess:
        return False


def _signal(pid: int, wanted: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, wanted)
