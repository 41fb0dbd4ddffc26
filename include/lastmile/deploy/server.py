"""One model server process: started apart from us, found again, ended only if it is ours.

Its folder is its identity: it is the process's working directory, and holds the pointer, the log and
`server.json` with process id, start time and port. A process is ours when id, start time, folder and
command line all agree; one that was started but not yet written down is known by the last two.
"""

import contextlib
import logging
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
from pydantic import Field, ValidationError

from lastmile.deploy.endpoint import Endpoint
from lastmile.errors import DeployError
from lastmile.pipeline.base import Strict

log = logging.getLogger(__name__)

POINTER, RECORD, LOG = "pointer.json", "server.json", "server.log"
MARKS = ("lastmile.serve", "lastmile-serve")
"""One of them stands in the command line, before and after gunicorn has given itself a title."""
KEPT_LOG_BYTES = 5_000_000
LOG_LINES = 5
KILL_SECONDS = 5.0

PASSED_ON = ("PATH", "HOME", "LANG", "TZ", "TMPDIR", "VIRTUAL_ENV", "LD_LIBRARY_PATH")
PASSED_ON_PREFIXES = ("LC_", "PYTHON", "OMP_")
"""What the server gets of our environment, beside its limits: it needs no account of ours."""
LIMITS_PREFIX = "LASTMILE_SERVE_"
NO_LIMITS = ("LASTMILE_SERVE_HOST", "LASTMILE_SERVE_PORTS", "LASTMILE_SERVE_WORKERS")


class ServerRecord(Strict):
    """`server.json`."""

    host: str
    port: int
    """Kept for the pipeline, also while no server runs."""
    pid: int | None = None
    started: float | None = None
    """The process's start, seconds since 1970: tells a reused process id."""
    workers: int = 1
    code: str = ""
    """Digest of the server's source when it was started."""
    limits: dict[str, str] = Field(default_factory=dict)
    """The environment's limits that it was started with."""


class ServerProcess:
    """The server of one folder."""

    def __init__(self, folder: Path) -> None:
        """Start nothing yet."""
        self.folder = folder.absolute()
        self.pointer = self.folder / POINTER

    def record(self) -> ServerRecord | None:
        """Return what `server.json` says; None where there is none that can be read."""
        try:
            return ServerRecord.model_validate_json((self.folder / RECORD).read_bytes())
        except (OSError, ValidationError):
            return None

    def write_record(self, record: ServerRecord) -> None:
        """Replace `server.json` whole."""
        write_whole(self.folder / RECORD, record.model_dump_json(indent=1).encode())

    def process(self) -> psutil.Process | None:
        """Return the running server, or None. One that was not written down yet is, now."""
        record = self.record()
        if record is not None and record.pid is not None:
            with contextlib.suppress(psutil.Error):
                process = psutil.Process(record.pid)
                if self._is_recorded(process, record) and self._is_ours(process):
                    return process
        for process in self._all_ours():
            if _leads_session(process):
                with contextlib.suppress(psutil.Error):  # it may end meanwhile
                    if record is not None:
                        self._note(record, process)
                    return process
        return None

    def start(self, record: ServerRecord, beside: bool = False) -> psutil.Process:
        """Start the server apart from us.

        It outlives this process and its terminal, and inherits none of our open files or accounts.

        Args:
            record: Host, port (0: a free one), workers and limits.
            beside: Let it take the port over from the one that runs, which goes on and is no longer
                the recorded one.

        Raises:
            DeployError: The process cannot be started.
        """
        if not beside:
            self._end_strays()
            self.write_record(record)
        try:
            self._trim_log()
            with (self.folder / LOG).open("ab") as output:
                child = subprocess.Popen(
                    [*self._command(record), *(["--beside"] if beside else [])],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    cwd=self.folder,
                    env=_environment() | record.limits,
                    start_new_session=True,
                )
        except OSError as error:
            raise DeployError(
                f"The model server cannot be started: {error}",
                f"See that {sys.executable} exists, and that this user may write in {self.folder}.",
            ) from error
        # Reaps it, should it end before we do.
        threading.Thread(target=child.wait, name=f"wait for {child.pid}", daemon=True).start()
        try:
            process = psutil.Process(child.pid)
            self._note(record, process)
        except psutil.NoSuchProcess as error:
            raise DeployError("The model server ended at once.", self.last_words()) from error
        return process

    def endpoint(self, process: psutil.Process, seconds: float) -> Endpoint:
        """Return where the server listens, once it does.

        Raises:
            DeployError: It ended, or does not listen in time.
        """
        record, deadline = self.record(), time.monotonic() + seconds
        host = "127.0.0.1" if record is None else record.host
        if record is not None and record.port:
            return Endpoint(host, record.port)
        while time.monotonic() < deadline:
            if not is_running(process):
                raise self.ended()
            with contextlib.suppress(psutil.Error):
                for connection in process.net_connections("tcp"):
                    if connection.status == psutil.CONN_LISTEN:
                        return Endpoint(host, connection.laddr.port)
            time.sleep(0.02)
        raise DeployError(
            f"The model server does not listen after {seconds:.3g} s.", self.last_words()
        )

    def listens(self, process: psutil.Process) -> bool:
        """Tell whether a server of ours listens on the recorded port."""
        record = self.record()
        with contextlib.suppress(psutil.Error):
            return record is not None and any(
                connection.status == psutil.CONN_LISTEN and connection.laddr.port == record.port
                for connection in process.net_connections("tcp")
            )
        return False

    def end(self, seconds: float) -> None:
        """Ask the server to end, let it answer what it has in hand for so long, then insist."""
        while (process := self.process()) is not None:
            _end(process, seconds)
        self._end_strays()
        record = self.record()
        if record is not None and record.pid is not None:
            self.write_record(record.model_copy(update={"pid": None, "started": None}))

    def end_others(self, keep: psutil.Process, seconds: float) -> None:
        """End all of our servers but one: predecessors, and what a killed deploy started beside it."""
        others = self.others(keep)
        leaders = [process for process in others if _leads_session(process)]
        for process in leaders or others:  # workers end with their master, or are left without one
            _end(process, seconds if process in leaders else 0)
        if leaders:
            self.end_others(keep, seconds)

    def others(self, keep: psutil.Process) -> list[psutil.Process]:
        """Return the processes of our servers that are not of this one."""
        ours = self._all_ours()
        # Looked up second: a worker that is forked meanwhile is none of the others.
        family = {keep.pid}
        with contextlib.suppress(psutil.NoSuchProcess):
            family |= {child.pid for child in keep.children(recursive=True)}
        return [process for process in ours if process.pid not in family]

    def ended(self) -> DeployError:
        """Return the error of a server that is no more."""
        return DeployError("The model server ended before it was ready.", self.last_words())

    def last_words(self) -> str:
        """Return the end of the log, as a hint."""
        with contextlib.suppress(OSError):
            lines = (self.folder / LOG).read_text(errors="replace").strip().splitlines()
            if lines:
                return f"{self.folder / LOG} ends with: " + " | ".join(lines[-LOG_LINES:])[-1000:]
        return f"{self.folder / LOG} is empty."

    def _command(self, record: ServerRecord) -> list[str]:
        # -P: the server must not import from its folder.
        return [
            sys.executable, "-P", "-m", "lastmile.serve", "--pointer", str(self.pointer),
            "--host", record.host, "--port", str(record.port), "--workers", str(record.workers),
        ]  # fmt: skip

    def _note(self, record: ServerRecord, process: psutil.Process) -> None:
        self.write_record(
            record.model_copy(update={"pid": process.pid, "started": process.create_time()})
        )

    @staticmethod
    def _is_recorded(process: psutil.Process, record: ServerRecord) -> bool:
        # Counted from the machine's start, which a correction of the clock moves a little.
        return record.started is not None and abs(process.create_time() - record.started) < 1

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            if not is_running(process) or Path(process.cwd()) != self.folder.resolve():
                return False
            command = " ".join(process.cmdline())
        except psutil.Error:
            return False
        return any(mark in command for mark in MARKS)

    def _all_ours(self) -> list[psutil.Process]:
        return [process for process in psutil.process_iter() if self._is_ours(process)]

    def _end_strays(self) -> None:
        """End workers whose master was killed: they hold the port a little longer than it lives."""
        for process in self._all_ours():
            _end(process, seconds=0)

    def _trim_log(self) -> None:
        path = self.folder / LOG
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_size > KEPT_LOG_BYTES:
                path.replace(path.with_suffix(".log.1"))


def is_running(process: psutil.Process) -> bool:
    """Tell whether a process lives; one that waits to be reaped does not."""
    try:
        return bool(process.is_running()) and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def limits_of_environment() -> dict[str, str]:
    """Return the limits that our environment sets for a server."""
    return {
        name: value
        for name, value in os.environ.items()
        if name.startswith(LIMITS_PREFIX) and name not in NO_LIMITS
    }


def _leads_session(process: psutil.Process) -> bool:
    """Tell a master: its workers are in its session."""
    with contextlib.suppress(ProcessLookupError):
        return os.getsid(process.pid) == process.pid
    return False


def write_whole(path: Path, content: bytes) -> None:
    """Replace a file: a reader sees the old content or the new, also after a power cut.

    Raises:
        DeployError: It cannot be written.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink()
        raise DeployError(
            f"{path} cannot be written: {error.strerror or error}.",
            "Free some space, and see that this user may write there.",
        ) from error


def _end(process: psutil.Process, seconds: float) -> None:
    """End a process and its children: ask, wait, insist. psutil sees that the ids are still theirs."""
    with contextlib.suppress(psutil.NoSuchProcess):
        family = [process, *process.children(recursive=True)]
        if seconds:
            process.terminate()
            psutil.wait_procs(family, timeout=seconds)
        for member in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
        psutil.wait_procs(family, timeout=KILL_SECONDS)


def _environment() -> dict[str, str]:
    return {
        name: value
        for name, value in os.environ.items()
        if name in PASSED_ON or name.startswith(PASSED_ON_PREFIXES)
    }
