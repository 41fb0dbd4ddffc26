"""Whatever a client sends: an answer or a 4xx in JSON, never a 500, never a traceback, never a hang."""

import contextlib
import http.client
import json
import math
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bundles import write_bundle, write_pointer
from lastmile.features.schema import Column, ColumnKind
from lastmile.features.steps import BoundsStep, ContractStep, FillStep, TextStep
from lastmile.serve.app import create_app
from lastmile.serve.limits import Limits
from served import Served, serving

pytestmark = pytest.mark.chaos

COLUMNS = (
    Column("age", ColumnKind.INTEGER, minimum=18, maximum=120),
    Column("income", ColumnKind.NUMBER),
    Column("employed", ColumnKind.BOOLEAN),
    Column("purpose", ColumnKind.CATEGORY, allowed=("car", "house")),
)
STEPS = (
    ContractStep(),
    TextStep(("purpose",)),
    FillStep({"income": 1.0, "purpose": "car"}, flag=True),
    BoundsStep({"income": (-1e6, 1e6)}, "flag"),
)
PATHS = st.sampled_from(["/predict", "/v1/models/toy:predict", "/v2/models/toy/infer"])
FUZZ = settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=10**300, max_value=10**320)
    | st.floats()
    | st.text()
    | st.sampled_from(["car", "NaN", "\ud800", "\x00"])
)
names = st.sampled_from([c.name for c in COLUMNS]) | st.text(max_size=3)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
    max_leaves=12,
)
records = st.fixed_dictionaries(
    {},
    optional={
        "age": st.integers(18, 120) | scalars,
        "income": st.floats() | scalars,
        "employed": st.booleans() | scalars,
        "purpose": st.sampled_from(["car", "house"]) | scalars,
        "other": scalars,
    },
)
tensors = st.fixed_dictionaries(
    {
        "name": names | anything,
        "datatype": st.sampled_from(["FP64", "INT64", "BOOL", "BYTES", "FP16"]) | anything,
        "shape": st.lists(st.integers(-1, 3), max_size=3) | anything,
    },
    optional={
        "data": st.lists(scalars | st.lists(scalars, max_size=2), max_size=3) | anything,
        "parameters": st.dictionaries(
            st.sampled_from(["binary_data_size", "x"]), st.integers(-1, 40) | anything, max_size=2
        ),
    },
)
bodies = (
    anything
    | st.fixed_dictionaries({"instances": st.lists(records | anything, max_size=4) | anything})
    | st.fixed_dictionaries(
        {"data": st.lists(st.lists(scalars, max_size=5), max_size=4) | anything}
    )
    | st.fixed_dictionaries({"inputs": st.dictionaries(names, st.lists(scalars, max_size=3))})
    | st.fixed_dictionaries(
        {"inputs": st.lists(tensors, max_size=4)},
        optional={"id": anything, "outputs": anything, "parameters": anything},
    )
)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(
        tmp_path_factory.mktemp("bundle") / "b", task="binary", columns=COLUMNS, steps=STEPS,
        vocabularies=(("car", "house"),), classes=("no", "yes"),
    )  # fmt: skip


@pytest.fixture(scope="module")
def client(bundle: Path) -> FlaskClient:
    pointer = write_pointer(bundle.parent / "pointer.json", bundle)
    app = create_app(pointer, Limits(max_rows=3, max_body_bytes=20_000), follow=False)
    return app.test_client()


def check(answer: Any) -> None:
    """An answer or a refusal, in JSON as its standard has it."""
    head = answer.headers.get("Inference-Header-Content-Length")
    content = answer.data if head is None else answer.data[: int(head)]
    value = json.loads(content.decode(), parse_constant=refuse_constant)
    assert answer.status_code == 200 or 400 <= answer.status_code < 500, (answer.status_code, value)
    assert ("error" in value) == (answer.status_code != 200)
    assert b"Traceback" not in answer.data


def refuse_constant(name: str) -> None:
    raise AssertionError(f"{name} in an answer")


@given(path=PATHS, body=bodies)
@FUZZ
def test_any_json_is_answered_or_refused(client: FlaskClient, path: str, body: Any) -> None:
    answer = client.post(path, data=json.dumps(body), content_type="application/json")
    check(answer)


@given(
    path=PATHS,
    body=st.binary(max_size=200),
    headers=st.fixed_dictionaries(
        {},
        optional={
            "Content-Type": st.sampled_from(["application/json", "text/plain", ";", "a/b+json"]),
            "Content-Encoding": st.sampled_from(["gzip", "deflate", "identity", "br", ""]),
            "Inference-Header-Content-Length": st.integers(-1, 300).map(str)
            | st.sampled_from(["x", "²", "1e3"]),
        },
    ),
)
@FUZZ
def test_any_bytes_are_answered_or_refused(
    client: FlaskClient, path: str, body: bytes, headers: dict[str, str]
) -> None:
    headers = {name: value.encode().decode("latin-1") for name, value in headers.items()}
    check(client.post(path, data=body, headers=headers))


@given(
    tail=st.binary(max_size=60),
    inputs=st.lists(tensors, min_size=1, max_size=4),
    binary=st.booleans(),
)
@FUZZ
def test_any_binary_tensors_are_answered_or_refused(
    client: FlaskClient, tail: bytes, inputs: list[Any], binary: bool
) -> None:
    body = {"inputs": inputs, "parameters": {"binary_data_output": binary}}
    head = json.dumps(body).encode()
    headers = {"Inference-Header-Content-Length": str(len(head))}
    check(client.post("/v2/models/toy/infer", data=head + tail, headers=headers))


@given(
    path=st.text(max_size=30),
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "TRACE"]),
)
@FUZZ
def test_any_address_and_method_is_answered_or_refused(
    client: FlaskClient, path: str, method: str
) -> None:
    answer = client.open("/" + path.replace("?", "").replace("#", ""), method=method)
    assert answer.status_code in (200, 400, 404, 405, 415)
    if answer.status_code != 200 and method != "HEAD":
        check(answer)


@given(record=records)
@FUZZ
def test_a_record_that_is_answered_gets_a_probability(
    client: FlaskClient, record: dict[str, Any]
) -> None:
    answer = client.post("/predict", data=json.dumps({"instances": [record]}))
    check(answer)
    if answer.status_code == 200:
        [prediction] = answer.get_json()["predictions"]
        assert 0 <= prediction["probability"] <= 1
        assert not math.isnan(prediction["probability"])
    else:
        assert answer.get_json()["error"]["headline"]


# The real process, over a socket


@pytest.fixture(scope="module")
def served(bundle: Path) -> Iterator[Served]:
    pointer = write_pointer(bundle.parent / "served.json", bundle)
    with serving(pointer, "--max-body-bytes", "20000") as server:
        yield server


def send(served: Served, content: bytes) -> bytes:
    """Send bytes; return all that comes back until the server closes or says nothing for a while."""
    with socket.create_connection(("127.0.0.1", served.port), timeout=3) as connection:
        connection.sendall(content)
        connection.shutdown(socket.SHUT_WR)
        received = b""
        while part := connection.recv(65536):
            received += part
        return received


POST = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "status"),
    [
        pytest.param(b"\x16\x03\x01\x02\x00\r\n\r\n", 400, id="a TLS greeting"),
        pytest.param(b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n", 414, id="an endless address"),
        pytest.param(b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 100 + b"\r\n", 431, id="many headers"),
        pytest.param(
            b"GET / HTTP/1.1\r\nA: " + b"b" * 9000 + b"\r\n\r\n", 431, id="an endless header"
        ),
        pytest.param(POST + b"Content-Length: x\r\n\r\n", 400, id="a length that is none"),
        pytest.param(POST + b"Content-Length: -1\r\n\r\n", 400, id="a negative length"),
        pytest.param(POST + b"Content-Length: 99999999999\r\n\r\n", 413, id="an endless body"),
        pytest.param(POST + b"Content-Length: 9\r\n\r\n{}", 400, id="a body cut short"),
        pytest.param(
            POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400, id="a chunk without a size"
        ),
        pytest.param(
            POST + b"Transfer-Encoding: chunked\r\n\r\n" + (b"1000\r\n" + b" " * 4096 + b"\r\n") * 9,
            413, id="endless chunks",
        ),
        pytest.param(POST + b"\r\n", 400, id="no body"),
        pytest.param(POST.replace(b"Host: x", b"Host: a b/\xff") + b"\r\n", 400, id="a bad host"),
    ],
)  # fmt: skip
def test_bytes_that_are_hardly_http_end_in_a_4xx(
    served: Served, content: bytes, status: int
) -> None:
    answer = send(served, content)
    found = int(answer.split(b" ", 2)[1])
    assert 400 <= found < 500
    assert found == status
    assert b"Traceback" not in answer


@pytest.mark.slow
def test_chunks_are_read(served: Served) -> None:
    record = {"age": 40, "income": 1, "employed": True, "purpose": "car"}
    body = json.dumps({"instances": [record]}).encode()
    chunks = b"".join(b"1\r\n" + bytes([byte]) + b"\r\n" for byte in body) + b"0\r\n\r\n"
    assert b" 200 OK" in send(served, POST + b"Transfer-Encoding: chunked\r\n\r\n" + chunks)


HALF = POST + b"Content-Length: 500\r\n\r\n{"


@pytest.mark.slow
@pytest.mark.parametrize(
    "begun",
    [
        pytest.param(b"", id="silent"),
        pytest.param(b"GET /livez HTTP/1.1\r\nHo", id="half a header"),
        pytest.param(HALF, id="half a body"),
        pytest.param(POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{", id="half a chunk"),
        pytest.param(POST + b"Content-Length: 99999999999\r\n\r\n{", id="an endless body"),
        pytest.param(b"nonsense\r\n\r\n", id="refused, and stays"),
    ],
)
def test_slow_clients_do_not_keep_others_waiting(served: Served, begun: bytes) -> None:
    """More connections that do not go on than the worker has threads."""
    slow = [socket.create_connection(("127.0.0.1", served.port)) for _ in range(50)]
    try:
        for connection in slow:
            connection.sendall(begun)
        for _ in range(3):
            for connection in slow[:8]:
                with contextlib.suppress(OSError):
                    connection.sendall(b" ")
            started = time.monotonic()
            assert b" 200 OK" in send(served, b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            assert time.monotonic() - started < 0.5
    finally:
        for connection in slow:
            connection.close()


@pytest.mark.slow
def test_a_request_that_does_not_arrive_in_time_is_told_so_in_one_line(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LASTMILE_SERVE_MAX_ARRIVAL_SECONDS", "1")
    pointer = write_pointer(bundle.parent / "hasty.json", bundle)
    with serving(pointer) as served:
        begun = (b"GET /livez HTTP/1.1\r\nHo", HALF)
        for content in begun:
            with socket.create_connection(("127.0.0.1", served.port), timeout=5) as connection:
                connection.sendall(content)
                assert connection.recv(4096).startswith(b"HTTP/1.1 408 ")
        log = served.log.read_text()
    assert log.count("did not arrive in time") == len(begun)
    assert "Traceback" not in log


@pytest.mark.slow
def test_a_client_that_asks_whether_to_send_is_told_to(served: Served) -> None:
    body = b'{"instances": []}'
    head = POST + f"Expect: 100-continue\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", served.port), timeout=3) as connection:
        connection.sendall(head)
        assert connection.recv(4096) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert b"HTTP/1.1 400 " in connection.recv(4096)


@pytest.mark.slow
def test_requests_sent_ahead_are_answered_in_turn(served: Served) -> None:
    ask = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
    assert send(served, ask * 3).count(b" 200 OK") == 3
    sent = POST + b"Content-Length: 2\r\n\r\n{}" + ask
    assert send(served, sent).count(b"HTTP/1.1 ") == 2


@pytest.mark.slow
def test_too_large_a_body_is_told_so_to_a_client_that_sends_all_of_it_first(
    served: Served,
) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=10)
    connection.request("POST", "/predict", b" " * 20_000_000)
    answer = connection.getresponse()
    assert answer.status == 413
    assert json.loads(answer.read())["error"]["headline"]
    connection.close()


@pytest.mark.slow
def test_the_server_has_logged_no_bug_and_still_answers(served: Served) -> None:
    assert b" 200 OK" in send(served, b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
    assert "Traceback" not in served.log.read_text()
