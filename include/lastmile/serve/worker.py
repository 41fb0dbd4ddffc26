"""gunicorn's threaded worker, hardened against clients that are slow or say nothing.

A thread meets a request when all of it has arrived, and never waits for a client to go on speaking or to
hang up: all of that waiting is done by the one poller. As many slow clients as there are threads would
otherwise keep everybody else waiting.
"""

import errno
import json
import selectors
import socket
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from gunicorn.http import get_parser
from gunicorn.workers.gthread import STOP_KEEPALIVE_LINGER, TConn, ThreadWorker

from lastmile.serve.arrival import Arrival

if TYPE_CHECKING:
    from concurrent.futures import Future

_FIRST_BYTES, _MORE_BYTES = 16 * 1024, 256 * 1024
"""So much is read at once; a larger buffer costs a small request a tenth of its time."""
_SWEEP_SECONDS = 0.25
"""How often deadlines are looked at."""
_HELD_BYTES = 64 * 1024 * 1024
"""So much of requests that are not whole yet is kept in memory."""
_DRAIN_SECONDS, _DRAIN_BYTES = 5.0, 64 * 1024 * 1024
"""So long and so much may a client go on sending that has its answer. Closed at once, it would not see it."""


class Connection(TConn):  # type: ignore[misc]
    """A connection and what has arrived of its next request."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.initialized = self.data_ready = True
        # Over nothing: it reads what it is given, and never the socket.
        self.parser = get_parser(self.cfg, (), self.client)
        self.arrival: Arrival | None = None
        self.closing = False
        self.drained = 0


class Worker(ThreadWorker):  # type: ignore[misc]
    """Keeps a connection in the poller until a request has arrived, and until its client has hung up."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._parked: set[Connection] = set()
        self._held = 0
        self._swept_at = 0.0
        cfg = self.cfg
        fields = cfg.limit_request_fields * (cfg.limit_request_field_size + 2) + 4
        self._max_header = cfg.limit_request_line + fields

    def accept(self, listener: socket.socket) -> None:
        """Take a connection and wait for its first bytes without a thread."""
        try:
            client, address = listener.accept()
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EWOULDBLOCK, errno.ECONNABORTED):
                return
            raise
        self.nr_conns += 1
        connection = Connection(self.cfg, client, address, listener.getsockname())
        self._park(connection, self.cfg.keepalive)

    def finish_request(self, connection: Connection, future: "Future[Any]") -> None:
        """Wait for the next request, or for the client to hang up."""
        connection.arrival = None
        try:
            goes_on = not future.cancelled() and future.result()
            connection.sock.setblocking(False)
        except Exception:
            goes_on = False
        if not goes_on:
            self._close(connection)
            return
        self._park(connection, self.cfg.keepalive if self.alive else STOP_KEEPALIVE_LINGER)
        if rest := connection.parser.unreader.take_buffered():  # the client was ahead of us
            self._take(connection, rest)

    def handle(self, connection: Connection) -> Any:
        """Answer a request. Runs in a thread."""
        if connection.arrival is not None:
            connection.parser.unreader.unread(connection.arrival.content)
        return super().handle(connection)

    def handle_request(self, request: Any, connection: Connection) -> Any:
        """Answer a request that has been parsed."""
        if connection.arrival is None or not connection.arrival.whole:
            request.force_close()  # where the next one begins is not known
        request._expected_100_continue = False  # said already, or the body is not wanted
        try:
            return super().handle_request(request, connection)
        except BlockingIOError as error:  # the socket's own time limit
            self.log.warning("A client at %s did not take its answer.", connection.client[0])
            raise StopIteration from error

    # In the poller

    def _park(self, connection: Connection, seconds: float) -> None:
        connection.timeout = time.monotonic() + seconds
        self._parked.add(connection)
        read = partial(self._read, connection)
        self.poller.register(connection.sock, selectors.EVENT_READ, read)

    def _leave(self, connection: Connection) -> None:
        """Take a connection out of the poller."""
        self._parked.discard(connection)
        with suppress(OSError, KeyError, ValueError):
            self.poller.unregister(connection.sock)
        if connection.arrival is not None:
            self._held -= len(connection.arrival.content)

    def _drop(self, connection: Connection) -> None:
        self._leave(connection)
        self.nr_conns -= 1
        connection.close()

    def _read(self, connection: Connection, client: socket.socket) -> None:
        try:
            data = client.recv(_FIRST_BYTES if connection.arrival is None else _MORE_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._drop(connection)
            return
        if connection.closing:
            connection.drained += len(data)
            if not data or connection.drained > _DRAIN_BYTES:
                self._drop(connection)
        elif data:
            self._take(connection, data)
        elif connection.arrival is None:
            self._drop(connection)
        else:  # it has stopped in the middle, and is told so
            self._leave(connection)
            self.enqueue_req(connection)

    def _take(self, connection: Connection, data: bytes) -> None:
        """Take bytes of a request; give it to a thread when all of it is there."""
        limits = self.app.limits
        arrival = connection.arrival
        if arrival is None:
            arrival = connection.arrival = Arrival(self._max_header, limits.max_body_bytes)
            connection.timeout = time.monotonic() + limits.max_arrival_seconds
        self._held += len(data)
        if arrival.add(data):
            self._leave(connection)
            self.enqueue_req(connection)
        elif self._held > _HELD_BYTES + limits.max_body_bytes:
            self._refuse(connection, "503 Service Unavailable", "Too much is being sent to us.")
        elif arrival.wants_continue:
            arrival.wants_continue = False
            with suppress(OSError):
                connection.sock.send(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _refuse(self, connection: Connection, status: str, headline: str) -> None:
        """Refuse a request that has not arrived."""
        with suppress(OSError):
            connection.sock.send(refusal(status, headline))
        self._leave(connection)
        connection.arrival = None
        self._close(connection)

    def _close(self, connection: Connection) -> None:
        """Say that nothing more comes, and wait for the client to hang up."""
        connection.closing = True
        try:
            connection.sock.shutdown(socket.SHUT_WR)
            self._park(connection, _DRAIN_SECONDS if self.alive else STOP_KEEPALIVE_LINGER)
        except (OSError, ValueError, KeyError):
            self._drop(connection)

    # The clock

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """Wait for events, no longer than until deadlines are to be looked at."""
        super().wait_for_and_dispatch_events(min(timeout, _SWEEP_SECONDS))
        now = time.monotonic()
        if now - self._swept_at >= _SWEEP_SECONDS:
            self._swept_at = now
            self._sweep(now)

    def _sweep(self, now: float) -> None:
        late = [connection for connection in self._parked if connection.timeout <= now]
        half = [connection for connection in late if connection.arrival is not None]
        if half:
            self.log.warning(
                "%d requests did not arrive in time, one of them from %s.", len(half), half[0].client[0]
            )  # fmt: skip
        for connection in late:
            if connection.arrival is None:
                self._drop(connection)
            else:
                self._refuse(connection, "408 Request Timeout", "The request did not come in time.")

    def _cap_keepalive(self, deadline: float) -> None:
        """Stopping, wait only a little for connections that ask nothing."""
        for connection in self._parked:
            if connection.arrival is None:
                connection.timeout = min(connection.timeout, deadline)

    def murder_keepalived(self, force: bool = False) -> None:
        """Close what still waits when the worker ends; `_sweep` does the rest."""
        if force:
            for connection in list(self._parked):
                self._drop(connection)


def refusal(status: str, headline: str) -> bytes:
    """Return the whole answer to a request that never reaches the application."""
    body = json.dumps({"error": {"headline": headline, "hint": ""}}).encode() + b"\n"
    head = f"HTTP/1.1 {status}\r\nConnection: close\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
