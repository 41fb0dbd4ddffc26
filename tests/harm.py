"""A proxy between a client and a server that does, once or more often, the harm it is told to do."""

import http.client
import http.server
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

READ_BYTES = 64 << 10


@dataclass
class Harm:
    """What to do to requests of a method whose path matches."""

    method: str
    path: str
    """A regular expression."""
    kind: Literal["status", "cut request", "cut answer", "alter answer"]
    status: int = 500
    times: int = 1
    """How often; then requests pass."""
    headers: dict[str, str] = field(default_factory=dict)

    def strikes(self, method: str, path: str) -> bool:
        """Tell whether this request is one of them, and count it."""
        if self.times < 1 or method != self.method or not re.search(self.path, path):
            return False
        self.times -= 1
        return True


@dataclass
class HarmfulProxy:
    """A running proxy."""

    host: str
    """`127.0.0.1:port`."""
    harms: list[Harm] = field(default_factory=list)
    seen: list[tuple[str, str, int]] = field(default_factory=list)
    """Each request: method, path, length of its body."""
    forget: str | None = None
    """A parameter of the query that the server does not get to see."""

    def sent(self, method: str) -> int:
        """Return how many bytes were in the bodies of such requests."""
        return sum(length for seen, _, length in self.seen if seen == method)


@contextmanager
def harmful_proxy(server: str, *harms: Harm) -> Iterator[HarmfulProxy]:
    """Start a proxy in front of a server, `host:port`."""
    with _Server(server, list(harms)) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        try:
            yield running.proxy
        finally:
            running.shutdown()
            thread.join()


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, upstream: str, harms: list[Harm]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = upstream
        self.proxy = HarmfulProxy(f"127.0.0.1:{self.server_address[1]}", harms)

    def handle_error(self, *_: object) -> None:
        """A client that lets go is no news."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def pass_on(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self.server.proxy.seen.append((self.command, self.path, length))
        harm = self._harm()
        if harm is not None and harm.kind == "cut request":
            self._pass_half(length)
            return
        body = self.rfile.read(length)
        if harm is not None and harm.kind == "status":
            self._answer(harm.status, list(harm.headers.items()), b"")
            return
        status, headers, content = self._ask(body)
        if harm is not None and harm.kind == "alter answer":
            content = content[:-1] + bytes([content[-1] ^ 1])
        is_cut = harm is not None and harm.kind == "cut answer"
        self._answer(status, headers, content, is_cut=is_cut)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = pass_on  # noqa: N815 - http.server's

    def _harm(self) -> Harm | None:
        harms = self.server.proxy.harms
        return next((harm for harm in harms if harm.strikes(self.command, self.path)), None)

    def _ask(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        upstream = http.client.HTTPConnection(self.server.upstream, timeout=30)
        try:
            upstream.request(self.command, self._path(), body, dict(self.headers))
            answer = upstream.getresponse()
            content = answer.read()
            return answer.status, answer.getheaders(), content
        finally:
            upstream.close()

    def _path(self) -> str:
        forgotten = self.server.proxy.forget
        return re.sub(rf"{forgotten}=[^&]*&?", "", self.path) if forgotten else self.path

    def _pass_half(self, length: int) -> None:
        """Let the server have half of the body, then let go of both sides."""
        upstream = http.client.HTTPConnection(self.server.upstream, timeout=30)
        upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            upstream.putheader(name, value)
        upstream.endheaders()
        upstream.send(self.rfile.read(length // 2))
        upstream.close()
        self.close_connection = True

    def _answer(
        self, status: int, headers: list[tuple[str, str]], content: bytes, *, is_cut: bool = False
    ) -> None:
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in {"transfer-encoding", "connection"}:
                self.send_header(name, value)
        if "content-length" not in {name.lower() for name, _ in headers}:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content[: len(content) // 2] if is_cut else content)
        self.close_connection = self.close_connection or is_cut

    def log_message(self, *_: object) -> None:
        pass
