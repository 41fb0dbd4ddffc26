"""A real model server, `python -m lastmile.serve`, in a process of its own."""

import http.client
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Served:
    """A started server."""

    port: int
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"


@contextmanager
def serving(pointer: Path, *arguments: str) -> Iterator[Served]:
    """Start a server on a free port, wait until it is ready, and end it."""
    log = pointer.with_suffix(".log")
    command = [sys.executable, "-m", "lastmile.serve", "--pointer", str(pointer), "--port", "0"]
    with log.open("wb") as stderr:
        process = subprocess.Popen([*command, *arguments], stderr=stderr)
    try:
        port = _wait_for_port(process, log)
        served = Served(port, process, log)
        _wait_until_ready(served)
        yield served
    finally:
        process.terminate()
        process.wait(timeout=30)


def _wait_for_port(process: subprocess.Popen[bytes], log: Path) -> int:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        for line in log.read_text().splitlines():
            if "Serving at http://127.0.0.1:" in line:
                return int(line.rpartition(":")[2])
        time.sleep(0.02)
    raise AssertionError(f"the server did not start: {log.read_text()}")


def _wait_until_ready(served: Served) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=30)
        connection.request("GET", "/readyz")
        status = connection.getresponse().status
        connection.close()
        if status == 200:
            return
        time.sleep(0.02)
    raise AssertionError(f"the server did not become ready: {served.log.read_text()}")
