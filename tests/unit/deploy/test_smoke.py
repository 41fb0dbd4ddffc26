"""The smoke test and our client, against HTTP servers that answer as they should not."""

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from lastmile.artefacts.verdict import Golden
from lastmile.deploy.endpoint import Endpoint
from lastmile.deploy.smoke import smoke_test
from lastmile.deploy.target import Assignment
from lastmile.errors import DataError, DeployError, ServiceUnavailableError

ASSIGNMENT = Assignment("toy", 2, 7, "b" * 64)
ANSWERS = (
    {"label": "a", "probabilities": [0.25, 0.75]},
    {"label": "b", "probabilities": [1.0, 0.0]},
)
GOLDEN = Golden(records=({"x": 1}, {"x": 2}), answers=ANSWERS)


@pytest.fixture
def answering() -> Iterator[Callable[..., Endpoint]]:
    """Start a server that answers every request with a status and a text."""
    servers: list[ThreadingHTTPServer] = []

    def start(text: Callable[[list[Any]], str] | str, status: int = 200) -> Endpoint:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.do_POST()

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                said = text if isinstance(text, str) else text(json.loads(body)["instances"])
                self.send_response(status)
                self.end_headers()
                with contextlib.suppress(BrokenPipeError):  # it was too late
                    self.wfile.write(said.encode())

            def log_message(self, *_: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        servers.append(server)
        return Endpoint("127.0.0.1", server.server_port)

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def model(answers: Any, version: int = 2) -> Callable[[list[Any]], str]:
    """Answer x = 1 with the first answer, x = 2 with the second."""
    return lambda records: json.dumps(
        {"version": version, "predictions": [answers[record["x"] - 1] for record in records]}
    )


def test_the_same_answers_pass_to_the_last_digits(answering: Callable[..., Endpoint]) -> None:
    near = ({"label": "a", "probabilities": [0.250004, 0.749996]}, ANSWERS[1])
    result = smoke_test(answering(model(near)), ASSIGNMENT, GOLDEN, 5)
    assert result.records == 2
    assert result.largest_difference == pytest.approx(4e-6)
    assert 0 < result.median_ms <= result.slowest_ms


@pytest.mark.parametrize(
    ("first", "says"),
    [
        ({"label": "a", "probabilities": [0.2501, 0.7499]}, r"probabilities\[0\]"),
        ({"label": "b", "probabilities": [0.25, 0.75]}, "record 0, label"),
        ({"label": "a", "probabilities": [0.25]}, "record 0, probabilities"),
        ({"label": "a", "probabilities": [0.25, None]}, "expected 0.75"),
        ({"label": "a", "probabilities": [0.25, True]}, "expected 0.75"),
        ({"label": "a"}, "record 0"),
        ({"label": "a", "probabilities": [0.25, 0.75], "more": 1}, "record 0"),
        (None, "got None"),
        ({"label": "a", "probabilities": [0.25, float("nan")]}, "no JSON: NaN"),
    ],
)
def test_another_answer_does_not(answering: Callable[..., Endpoint], first: Any, says: str) -> None:
    with pytest.raises(DeployError, match=says) as caught:
        smoke_test(answering(model((first, ANSWERS[1]))), ASSIGNMENT, GOLDEN, 5)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("text", "status", "says"),
    [
        (model(ANSWERS, version=1), 200, "answered by version 1, not by 2"),
        ('{"version": 2, "predictions": []}', 200, "expected 2 predictions"),
        ('{"version": 2}', 200, "expected 2 predictions"),
        ("[]", 200, "answered 200"),
        ("<html>", 200, "no JSON"),
        ('{"error": {"headline": "x is no number", "hint": "Send one."}}', 400, "x is no number"),
        ('{"error": "gone"}', 503, "answered 503: gone"),
    ],
)
def test_what_is_no_answer_does_not(
    answering: Callable[..., Endpoint], text: Any, status: int, says: str
) -> None:
    with pytest.raises(DeployError, match=says):
        smoke_test(answering(text, status), ASSIGNMENT, GOLDEN, 5)


def test_an_answer_that_comes_too_late_does_not(answering: Callable[..., Endpoint]) -> None:
    late = threading.Event()

    def wait(_: list[Any]) -> str:
        late.wait(10)
        return "{}"

    try:
        with pytest.raises(DeployError, match=r"did not answer within 0\.\d+ s"):
            smoke_test(answering(wait), ASSIGNMENT, GOLDEN, 0.2)
    finally:
        late.set()
    with pytest.raises(DeployError, match="did not end in time"):
        smoke_test(answering(model(ANSWERS)), ASSIGNMENT, GOLDEN, 0)


def test_nobody_listening_is_transient_and_nobodys_readiness() -> None:
    nobody = Endpoint("127.0.0.1", 1)
    assert nobody.readiness() is None
    with pytest.raises(ServiceUnavailableError, match=r"http://127\.0\.0\.1:1 does not answer"):
        nobody.predict([{"x": 1}])


def test_a_record_that_is_no_json_is_the_askers_fault() -> None:
    with pytest.raises(DataError, match="cannot be sent"):
        Endpoint("127.0.0.1", 1).predict([{"x": float("nan")}])


@pytest.mark.parametrize("text", ["[]", "{}", '{"ready": "yes"}', "<html>"])
def test_another_program_is_never_ready(answering: Callable[..., Endpoint], text: str) -> None:
    assert answering(text).readiness() is None


def test_an_address_is_one_that_can_be_asked() -> None:
    assert Endpoint("0.0.0.0", 80).address == "http://127.0.0.1:80"  # noqa: S104 - only looked up
    assert Endpoint("::", 80).address == "http://[::1]:80"
