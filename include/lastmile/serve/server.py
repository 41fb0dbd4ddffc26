"""The server process: gunicorn around the application."""

import atexit
import ctypes
import gc
import logging
import os
import shutil
import socket
import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication

from lastmile.errors import PermanentError
from lastmile.serve.limits import Limits
from lastmile.serve.sharing import forget_worker, share_figures

log = logging.getLogger(__name__)

BACKLOG = 2048
_ATTACH_REUSEPORT_CBPF = 51
"""Linux's SO_ATTACH_REUSEPORT_CBPF, which the socket module does not name."""
SILENCE_SECONDS = 10
"""So long may a client stop in the middle of taking its answer."""


class AddressError(PermanentError):
    """The server cannot listen where it should."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """How the server process runs."""

    pointer: Path
    host: str = "127.0.0.1"
    port: int
    """0: one that the operating system finds free."""
    beside: bool = False
    """Take new connections over from the server of this user that listens on the port."""
    workers: int = 1
    """Processes. Each holds the model; one per core serves best."""
    threads: int = 4
    """Requests that one worker has in hand at once."""
    limits: Limits


def listen(host: str, port: int, beside: bool = False) -> socket.socket:
    """Return a listening socket.

    Args:
        host: Address of this machine.
        port: 0: a free one.
        beside: Share the port with the one server of ours that listens on it. New connections come here
            at once and wait for us; the other answers the ones it has, and can end without a loss.

    Raises:
        AddressError: The port is taken, or the host is none of this machine's.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Accepted connections inherit this: a client that takes no answer frees its thread.
        silence = struct.pack("ll", SILENCE_SECONDS, 0)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, silence)
        if beside:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(address)
        # Only now: by itself no server binds a port where another listens, but it lets one come beside it.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.listen(BACKLOG)
        if beside:
            _take_new_connections(listener)
    except OSError as error:
        raise AddressError(
            f"The server cannot listen on {host}:{port}: {error.strerror}.",
            f"Stop what uses port {port} (`ss -ltnp 'sport = :{port}'` names it), or give --port "
            "another number; 0 finds a free one.",
        ) from error
    return listener


def _take_new_connections(listener: socket.socket) -> None:
    """Let the kernel give every new connection to the second socket on the port, which is this one.

    By default it would share them out, and those that wait in the first one's queue when that closes
    are lost. Once the first is gone, the program's answer names no socket, and the only one left gets all.
    """
    return_one = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 1))  # BPF_RET | BPF_K
    program = struct.pack("HP", 1, ctypes.addressof(return_one))
    listener.setsockopt(socket.SOL_SOCKET, _ATTACH_REUSEPORT_CBPF, program)


def serve(settings: ServerSettings) -> None:
    """Serve until SIGTERM or SIGINT; requests in hand are answered first.

    Raises:
        AddressError: It cannot listen.
    """
    listener = listen(settings.host, settings.port, settings.beside)
    host, port = listener.getsockname()[:2]
    log.info("Serving at http://%s:%d", f"[{host}]" if ":" in host else host, port)
    with _folder_of_figures() as folder:
        if settings.workers > 1:
            share_figures(folder)
        # Imported before the workers are forked, which then start in no time and share the memory. Not so
        # ONNX Runtime: a fork has the state of its threads without the threads, and a worker that waits
        # for one at its end dies of SIGABRT, or waits for ever.
        import lastmile.serve.app  # noqa: F401

        _Server(settings, listener.detach()).run()


@contextmanager
def _folder_of_figures() -> Iterator[Path]:
    """Give a folder that goes with the server, not with a worker, which also leaves through here."""
    folder, server = Path(tempfile.mkdtemp(prefix="lastmile-metrics-")), os.getpid()
    try:
        yield folder
    finally:
        if os.getpid() == server:
            shutil.rmtree(folder, ignore_errors=True)


class _Server(BaseApplication):  # type: ignore[misc]
    """gunicorn, set up from code: it reads no file, no environment and no command line."""

    def __init__(self, settings: ServerSettings, listener: int) -> None:
        self._settings = settings
        self.limits = settings.limits
        self._options = gunicorn_options(settings, listener)
        super().__init__()

    def load_config(self) -> None:
        for name, value in self._options.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        """Build the application; called in every worker, after the fork."""
        from lastmile.serve.app import create_app

        app = create_app(self._settings.pointer, self._settings.limits)
        # No thread may be in the runtime while the process takes it down.
        atexit.register(app.extensions["lastmile"].live.stop)
        # What is loaded now stays: the collector need not walk it again, which takes 10 ms each time.
        gc.collect()
        gc.freeze()
        return app


def gunicorn_options(settings: ServerSettings, listener: int) -> dict[str, Any]:
    """Return gunicorn's settings."""
    return {
        "bind": [f"fd://{listener}"],
        "backlog": BACKLOG,
        "workers": settings.workers,
        "worker_class": "lastmile.serve.worker.Worker",
        "threads": settings.threads,
        "worker_connections": 1000,
        # A worker that has not been heard of for so long is replaced.
        "timeout": 30,
        # SIGTERM: so long may the requests in hand take.
        "graceful_timeout": 20,
        # Longer than the idle time after which common clients and proxies (60 s) let go of a connection:
        # the side that closes first is then the client, and no request meets a closing connection.
        "keepalive": 75,
        "limit_request_line": 4094,
        "limit_request_fields": 60,
        "limit_request_field_size": 8190,
        # In memory: a slow disk must not make a worker look dead.
        "worker_tmp_dir": "/dev/shm" if Path("/dev/shm").is_dir() else None,  # noqa: S108
        "accesslog": None,
        "errorlog": "-",
        "loglevel": "warning",
        "proc_name": "lastmile-serve",
        # gunicorn's remote control: one socket in the home directory, shared by all servers of a user.
        "control_socket_disable": True,
        "child_exit": lambda _, worker: forget_worker(worker.pid),
    }
