"""A server that is stopped ends cleanly, and a worker that ends takes nothing along."""

import http.client
import json
from pathlib import Path

import psutil
import pytest

from bundles import write_bundle, write_pointer
from project import wait_until
from served import Served, serving

pytestmark = pytest.mark.slow


def ask(served: Served, method: str, path: str, body: str | None = None) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=10)
    connection.request(method, path, body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    assert answer.status == 200, content
    return content


@pytest.mark.parametrize("workers", ["1", "2"])
def test_no_worker_dies_when_a_server_is_stopped(
    pointer: Path, tmp_path: Path, workers: str
) -> None:
    write_pointer(pointer, write_bundle(tmp_path / "bundle"))
    for _ in range(2):
        with serving(pointer, "--workers", workers) as served:
            ask(served, "POST", "/predict", json.dumps({"data": [1]}))
        log = served.log.read_text()
        assert served.process.returncode == 0
        for sign in ("terminate called", "SIGABRT", "SIGKILL", "Traceback", "WARNING", "ERROR"):
            assert sign not in log, log


def test_the_runtime_reports_to_nobody_and_is_not_there_before_the_fork(
    pointer: Path, tmp_path: Path
) -> None:
    """ONNX Runtime reports to its maker: through a database at home, from a thread of its own."""
    write_pointer(pointer, write_bundle(tmp_path / "bundle"))
    with serving(pointer) as served:
        master = psutil.Process(served.process.pid)
        [worker] = master.children()
        assert "onnxruntime" not in Path(f"/proc/{master.pid}/maps").read_text()
        assert "onnxruntime" in Path(f"/proc/{worker.pid}/maps").read_text()
        assert [file.path for file in worker.open_files() if "onnxruntime" in file.path] == []


def test_a_worker_that_ends_leaves_the_others_their_figures(pointer: Path, tmp_path: Path) -> None:
    write_pointer(pointer, write_bundle(tmp_path / "bundle"))
    with serving(pointer, "--workers", "2") as served:
        master = psutil.Process(served.process.pid)
        before = wait_until(lambda: (found := master.children())[1:] and found, "two workers")
        ask(served, "POST", "/predict", json.dumps({"data": [1]}))
        before[0].terminate()
        wait_until(lambda: {*master.children()} - {*before}, "a new worker")
        wait_until(lambda: served.log.read_text().count("answers now") == 3, "it is ready")
        for _ in range(20):
            assert b'route="/predict",status="200"} 1.0' in ask(served, "GET", "/metrics")
