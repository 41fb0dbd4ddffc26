"""Which port a pipeline's model answers on: the first free one, and from then on the same."""

import contextlib
import errno
import fcntl
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from lastmile.deploy.server import ServerProcess, ServerRecord
from lastmile.errors import DeployError, SettingsError
from lastmile.settings import Settings


def reserve(server: ServerProcess, settings: Settings) -> ServerRecord:
    """Return the record that a server which does not run is to be started with.

    Raises:
        DeployError: A program that is not ours listens on the pipeline's port.
        SettingsError: No port of the range is free, or the host is none of this machine's addresses.
    """
    with _alone(server.folder.parent):
        known, ports = server.record(), port_range(settings)
        if known is not None and known.port in ports:
            if not is_free(settings.serve_host, known.port):
                raise _taken(server, known.port)
            port = known.port
        else:
            port = _first_free(server, settings, ports)
        record = ServerRecord(host=settings.serve_host, port=port, workers=settings.serve_workers)
        if record != known:
            server.write_record(record)
        return record


def port_range(settings: Settings) -> range:
    """Return the ports that served models may take."""
    first, _, last = settings.serve_ports.partition("-")
    return range(int(first), int(last) + 1)


def is_free(host: str, port: int) -> bool:
    """Tell whether one could listen there.

    Raises:
        SettingsError: The host is none of this machine's addresses.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise SettingsError(
                f"A model server cannot listen on {host!r}: {error.strerror or error}.",
                "Set LASTMILE_SERVE_HOST to an address of this machine, such as 127.0.0.1.",
            ) from error
        return True


def _first_free(server: ServerProcess, settings: Settings, ports: range) -> int:
    """Return a port that nobody listens on and no other pipeline has been given."""
    others = (ServerProcess(folder).record() for folder in server.folder.parent.iterdir()
              if folder.is_dir() and folder != server.folder)  # fmt: skip
    given = {record.port for record in others if record is not None}
    for port in ports:
        if port not in given and is_free(settings.serve_host, port):
            return port
    raise SettingsError(
        f"No port of {settings.serve_ports} on {settings.serve_host} is free for a served model.",
        "Set LASTMILE_SERVE_PORTS to another range.",
    )


def _taken(server: ServerProcess, port: int) -> DeployError:
    return DeployError(
        f"Port {port}, where {server.folder.name} is served, is taken by {_holder(port)}.",
        f"End that program, or give the port up: delete {server.folder / 'server.json'}, and the "
        "model gets another one.",
    )


def _holder(port: int) -> str:
    with contextlib.suppress(psutil.Error):
        for connection in psutil.net_connections("tcp"):
            at = connection.laddr
            if connection.status == psutil.CONN_LISTEN and at and at.port == port:
                if connection.pid is None:
                    break
                return f"{psutil.Process(connection.pid).name()} (process {connection.pid})"
    return "another program"


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let one process at a time choose: two pipelines must not be given the same port."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "ports.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
    except OSError as error:
        raise DeployError(
            f"{folder} cannot be used: {error.strerror or error}.",
            "See that this user may write there, or set LASTMILE_HOME.",
        ) from error
