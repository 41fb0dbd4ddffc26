"""The server process: start, address, swap under load, stop."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from itertools import count
from pathlib import Path

import psutil
import pytest

from bundles import write_bundle, write_pointer
from served import Served, serving

BODY = json.dumps({"data": [1]})
HEADERS = {"Content-Type": "application/json"}


@pytest.fixture
def bundles(tmp_path: Path) -> list[Path]:
    """Two models: version 1 adds 1, version 2 adds 2."""
    return [write_bundle(tmp_path / f"b{v}", bias=float(v)) for v in (1, 2)]


def run_server(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lastmile.serve", *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        env=os.environ | environment,
    )


@pytest.mark.slow
def test_a_port_in_use_is_exit_code_2_and_named(pointer: Path, bundles: list[Path]) -> None:
    write_pointer(pointer, bundles[0])
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = str(holder.getsockname()[1])
        ended = run_server("--pointer", str(pointer), "--port", port)
    headline, hint = ended.stderr.splitlines()
    assert ended.returncode == 2
    assert f"127.0.0.1:{port}" in headline
    assert "--port" in hint
    assert ended.stdout == ""


@pytest.mark.slow
def test_a_pointer_that_is_not_there_is_exit_code_2(pointer: Path) -> None:
    ended = run_server("--pointer", str(pointer), "--port", "0")
    assert ended.returncode == 2
    assert str(pointer) in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.slow
def test_a_limit_that_is_none_is_exit_code_2(pointer: Path, bundles: list[Path]) -> None:
    write_pointer(pointer, bundles[0])
    ended = run_server("--pointer", str(pointer), "--port", "0", LASTMILE_SERVE_MAX_ROWS="many")
    assert ended.returncode == 2
    assert "LASTMILE_SERVE_MAX_ROWS is 'many'" in ended.stderr


def test_the_server_loads_neither_tensorflow_nor_pandas_nor_pydantic() -> None:
    code = (
        "import sys, lastmile.serve.server, lastmile.serve.app, lastmile.serve.__main__\n"
        "print([m for m in ('tensorflow', 'keras', 'pandas', 'pydantic', 'sqlalchemy') "
        "if m in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"


@pytest.mark.slow
def test_no_request_fails_while_the_pointer_is_switched_twenty_times(
    pointer: Path, bundles: list[Path]
) -> None:
    write_pointer(pointer, bundles[0], version=1)
    stop, failures, seen = threading.Event(), [], []

    def ask(connection: http.client.HTTPConnection) -> None:
        connection.request("POST", "/predict", BODY, HEADERS)
        answer = connection.getresponse()
        content = answer.read()
        value = json.loads(content)
        version = int(answer.headers["X-Model-Version"])
        consistent = (
            answer.status == 200
            and value["version"] == version
            and value["predictions"] == [{"value": 1.0 + version}]
        )
        seen.append(version)
        if not consistent:
            failures.append((answer.status, version, content))

    def run(keep_alive: bool) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=10)
        while not stop.is_set():
            try:
                ask(connection)
            except (OSError, http.client.HTTPException, ValueError) as error:
                failures.append(error)
            if not keep_alive:
                connection.close()
        connection.close()

    with serving(pointer) as served:
        clients = [threading.Thread(target=run, args=(kind,)) for kind in (True, False)]
        for client in clients:
            client.start()
        for switch in range(20):
            version = 2 - switch % 2
            write_pointer(pointer, bundles[version - 1], version=version)
            _wait_for_version(served, version)
        stop.set()
        for client in clients:
            client.join()
    assert failures == []
    assert set(seen) == {1, 2}
    assert len(seen) > 200


def _wait_for_version(served: Served, version: int) -> None:
    for _ in count():
        connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=10)
        connection.request("GET", "/readyz")
        found = json.loads(connection.getresponse().read())["version"]
        connection.close()
        if found == version:
            return
        time.sleep(0.01)


@pytest.mark.slow
def test_a_stop_answers_the_request_in_hand_first(pointer: Path, bundles: list[Path]) -> None:
    write_pointer(pointer, bundles[0])
    with serving(pointer) as served:
        connection = socket.create_connection(("127.0.0.1", served.port), timeout=10)
        head = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(BODY)}\r\n\r\n"
        connection.sendall(head.encode() + BODY[:5].encode())
        time.sleep(0.2)  # the worker is reading the body by now
        served.process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        connection.sendall(BODY[5:].encode())
        assert connection.recv(4096).startswith(b"HTTP/1.1 200")
        connection.close()
        assert served.process.wait(timeout=20) == 0


@pytest.mark.slow
def test_several_workers_share_their_figures_and_all_follow_the_pointer(
    pointer: Path, bundles: list[Path]
) -> None:
    write_pointer(pointer, bundles[0], version=1)
    with serving(pointer, "--workers", "2") as served:
        _ask_workers(served)
        text = _ask(served, "/metrics")
        counted = re.search(r'requests_total\{route="/predict",status="200"\} (\d+)', text)
        assert counted is not None
        assert int(counted[1]) == 40
        write_pointer(pointer, bundles[1], version=2)
        deadline = time.monotonic() + 10
        while 'lastmile_model_version{model="toy"} 2.0' not in _ask(served, "/metrics"):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        answers = _ask_workers(served)
        assert {json.loads(answer)["version"] for answer in answers} == {2}


def _ask(served: Served, path: str, body: str | None = None) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=10)
    connection.request("GET" if body is None else "POST", path, body, HEADERS)
    text = connection.getresponse().read().decode()
    connection.close()
    return text


def _ask_workers(served: Served) -> list[str]:
    """Ask over 40 new connections, which any of the workers may accept."""
    return [_ask(served, "/predict", BODY) for _ in range(40)]


@pytest.mark.slow
def test_a_worker_stays_below_120_megabytes(pointer: Path, bundles: list[Path]) -> None:
    write_pointer(pointer, bundles[0])
    with serving(pointer) as served:
        [worker] = psutil.Process(served.process.pid).children()
        rows = json.dumps({"data": [1.5] * 10_000})
        for _ in range(5):
            assert json.loads(_ask(served, "/predict", rows))["version"] == 1
        assert worker.memory_info().rss < 120e6
