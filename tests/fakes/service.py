"""The ground under every fake: a real HTTP server on 127.0.0.1.

It keeps what it was asked, and can be told to misbehave.
"""

import json
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True)
class Asked:
    """One request as it came over the wire."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Answer:
    """One answer as it goes over the wire."""

    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


class RefusedError(Exception):
    """Ends a request with this answer."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


Fault = Callable[[Asked, Callable[[Asked], Answer]], Answer | None]
"""Stands in for one request; it may let the work be done. None: the connection is cut without an answer."""


class FakeService:
    """A server that answers with `answer`, in threads, while the `with` block runs."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.faults: deque[Fault] = deque()
        self.traps: dict[str, deque[Fault]] = {}
        self.lock = threading.RLock()
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # one packet per answer: two would wait 40 ms for each other

            def _serve(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                parts = urlsplit(self.path)
                asked = Asked(
                    method=self.command,
                    path=parts.path,
                    query=dict(parse_qsl(parts.query, keep_blank_values=True)),
                    headers={name.lower(): value for name, value in self.headers.items()},
                    body=self.rfile.read(length),
                )
                given = service.handle(asked)
                if given is None:
                    self.close_connection = True
                    return
                content = given.body
                if not isinstance(content, bytes):
                    content = b"" if content is None else json.dumps(content).encode()
                self.send_response(given.status)
                for name, value in given.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Type", "application/json;charset=UTF-8")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815 - the library's names

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def trap(self, method: str, path: str, *faults: Fault) -> None:
        """Let the next requests to one place meet these faults, whatever is asked in between."""
        self.traps.setdefault(f"{method} {path}", deque()).extend(faults)

    def count(self, method: str, path: str) -> int:
        """How often one place was asked."""
        return sum((asked.method, asked.path) == (method, path) for asked in self.asked)

    def handle(self, asked: Asked) -> Answer | None:
        with self.lock:
            self.asked.append(asked)
            trapped = self.traps.get(f"{asked.method} {asked.path}")
            waiting = trapped or self.faults
            fault = waiting.popleft() if waiting else None
        return fault(asked, self._safely) if fault else self._safely(asked)

    def _safely(self, asked: Asked) -> Answer:
        with self.lock:
            try:
                return self.answer(asked)
            except RefusedError as refusal:
                return refusal.answer

    def answer(self, asked: Asked) -> Answer:
        raise NotImplementedError

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def done_but_unanswered(asked: Asked, work: Callable[[Asked], Answer]) -> None:
    """The work is done; then the connection is cut."""
    work(asked)


def cut_off(_asked: Asked, _work: Callable[[Asked], Answer]) -> None:
    """Nothing is done, and the connection is cut."""


def answering(status: int, body: Any = None, **headers: str) -> Fault:
    """Make a fault: nothing is done, and this is the answer."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _asked, _work: Answer(status, body, named)


def no_fault(asked: Asked, work: Callable[[Asked], Answer]) -> Answer:
    """Let one request pass, so that a later one is hit."""
    return work(asked)
