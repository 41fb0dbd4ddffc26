"""One worker as a local process, seen from its supervisor."""

import os
import selectors
import signal
import subprocess
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from lastmile.settings import CONNECTION_PREFIX
from lastmile.train.gang.cluster import VARIABLE, Cluster
from lastmile.train.gang.events import Event, Failed, parse_event

TAIL_LINES = 12
WITHHELD = ("LASTMILE_LEDGER_URL", "LASTMILE_MLFLOW_URL")
"""Settings that may hold a password and that no worker needs."""


@dataclass
class Worker:
    """A started worker, its last lines and its last sign of life."""

    index: int
    process: subprocess.Popen[bytes]
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=TAIL_LINES))
    last_heard: float = field(default_factory=time.monotonic)
    failure: Failed | None = None
    """What it said it failed of."""

    @classmethod
    def start(cls, work: Path, cluster: Cluster) -> "Worker":
        """Start a worker of this gang on this machine."""
        # -P: the worker must not import from whatever folder we happen to stand in.
        command = [sys.executable, "-P", "-m", "lastmile.train.gang.member"]
        process = subprocess.Popen(
            [*command, "--work", str(work), "--supervisor", str(os.getpid())],
            env=worker_environment(cluster),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        return cls(cluster.index, process)

    @property
    def ending(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""
        return self.process.poll()

    def silent_for(self) -> float:
        """Seconds since its last sign of life."""
        return time.monotonic() - self.last_heard

    def kill(self) -> None:
        """End it now, frozen or not, and wait for that."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def terminate(self) -> None:
        """Ask it to finish its step, save and end."""
        if self.process.poll() is None:
            self.process.terminate()

    def describe_ending(self) -> str:
        """Say how it ended: the signal's name or the exit code."""
        code = self.ending
        if code is None:
            return f"stopped answering {self.silent_for():.0f} s ago"
        if code < 0:
            return f"was ended by {signal.Signals(-code).name}"
        return f"ended with exit code {code}"


def worker_environment(cluster: Cluster) -> dict[str, str]:
    """Return a worker's environment: ours without secrets, with TF_CONFIG and what keeps it repeatable."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in WITHHELD and not name.startswith(CONNECTION_PREFIX)
    }
    threads = str(max(1, processors() // cluster.size))
    return kept | {
        VARIABLE: cluster.to_variable(),
        "KERAS_BACKEND": "tensorflow",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "GRPC_VERBOSITY": "NONE",
        "TF_ENABLE_ONEDNN_OPTS": "0",  # its kernels round differently from machine to machine
        "TF_NUM_INTRAOP_THREADS": threads,
        "TF_NUM_INTEROP_THREADS": threads,
        "OMP_NUM_THREADS": threads,
        "PYTHONHASHSEED": "0",
        "PYTHONUNBUFFERED": "1",
    }


def processors() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass
class Output:
    """The workers' output as it comes: events from standard output, lines from standard error."""

    workers: list[Worker]

    def __post_init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._rests: dict[int, bytes] = {}
        for worker in self.workers:
            for stream, is_events in (
                (worker.process.stdout, True), (worker.process.stderr, False),
            ):  # fmt: skip
                if stream is not None:
                    os.set_blocking(stream.fileno(), False)
                    self._selector.register(stream, selectors.EVENT_READ, (worker, is_events))

    def read(self, seconds: float) -> list[tuple[Worker, Event | str]]:
        """Wait at most so long; return what came, in order per worker."""
        found: list[tuple[Worker, Event | str]] = []
        for key, _ in self._selector.select(seconds):
            worker, is_events = key.data
            for line in self._lines(key.fileobj):  # type: ignore[arg-type]
                worker.last_heard = time.monotonic()
                event = parse_event(line) if is_events else None
                if isinstance(event, Failed):
                    worker.failure = event
                if event is None:
                    worker.tail.append(line)
                found.append((worker, line if event is None else event))
        return found

    def close(self) -> None:
        """Close every pipe."""
        self._selector.close()
        for worker in self.workers:
            process = worker.process
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    stream.close()

    def _lines(self, stream: BinaryIO) -> list[str]:
        handle = stream.fileno()
        try:
            part = os.read(handle, 1 << 16)
        except BlockingIOError:
            return []
        if not part:
            self._selector.unregister(stream)
        *lines, rest = (self._rests.pop(handle, b"") + part).split(b"\n")
        if rest and part:
            self._rests[handle] = rest
        elif rest:
            lines.append(rest)
        return [line.decode(errors="replace").rstrip() for line in lines if line.strip()]
