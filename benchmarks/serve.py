"""The model server against an empty Flask route and against `model.predict` in a handler.

`python -m benchmarks.serve`. Every server runs under the same gunicorn settings, one worker, pinned to one
core; the client has another core, keeps its connections open and sends the next request as soon as the
last one is answered. Servers take turns in short rounds, so that a busy moment of the machine meets all of
them; the best round of each counts.
"""

import argparse
import json
import os
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks._report import Goal, show_goals, show_table

COLUMNS = 30
CONNECTIONS = 4


# What is served


def record() -> dict[str, float]:
    """One record, with names and digits as long as the medical example's."""
    return {f"mean concave points {i}": round(14.127292 + i / 7, 4) for i in range(COLUMNS)}


def write_bundle(folder: Path) -> Path:
    """Write a bundle of 30 columns, a contract, a fill and a dense network 30-64-32-1."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    from lastmile.bundle.signature import Signature
    from lastmile.features.schema import Column, ColumnKind, Schema
    from lastmile.features.steps import ContractStep, FillStep
    from lastmile.features.transform import Cleaning, Encoding, Transform

    columns = tuple(Column(name, ColumnKind.NUMBER, 0.0, 5000.0) for name in record())
    cleaning = Cleaning(
        Schema(columns), (ContractStep(), FillStep(dict.fromkeys(list(record())[:5], 1.0)))
    )
    encoding = Encoding((14.0,) * COLUMNS, (3.5,) * COLUMNS, (), ())
    signature = Signature.of("bench", "binary", cleaning.schema, ("benign", "malignant"))
    random = np.random.default_rng(0)
    nodes, weights, last = [], [], "x"
    widths = (COLUMNS, 64, 32, 1)
    for i, (rows, width) in enumerate(pairwise(widths)):
        matrix = random.normal(scale=0.1, size=(rows, width)).astype(np.float32)
        weights += [numpy_helper.from_array(matrix, f"w{i}"),
                    numpy_helper.from_array(np.zeros(width, np.float32), f"b{i}")]  # fmt: skip
        activation = "Relu" if width > 1 else "Sigmoid"
        nodes += [helper.make_node("Gemm", [last, f"w{i}", f"b{i}"], [f"z{i}"]),
                  helper.make_node(activation, [f"z{i}"], [f"a{i}"])]  # fmt: skip
        last = f"a{i}"
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes, "dense", [value("x", TensorProto.FLOAT, ["rows", COLUMNS])],
        [value(last, TensorProto.FLOAT, ["rows", 1])], weights,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    folder.mkdir()
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    (folder / "transform.json").write_text(Transform(cleaning, encoding).to_json())
    (folder / "signature.json").write_text(signature.to_json())
    return folder


def empty_app() -> Any:
    """The least that Flask can do."""
    from flask import Flask

    app = Flask("empty")

    @app.route("/", methods=["GET", "POST"])
    def empty() -> str:
        return ""

    return app


def keras_app() -> Any:
    """What tutorials do: the same network, `model.predict` in the handler."""
    import keras
    import numpy as np
    from flask import Flask, jsonify, request

    layers = keras.layers
    model = keras.Sequential(
        [keras.Input((COLUMNS,)), layers.Dense(64, activation="relu"),
         layers.Dense(32, activation="relu"), layers.Dense(1, activation="sigmoid")]
    )  # fmt: skip
    model.predict(np.zeros((1, COLUMNS), "float32"), verbose=0)
    app = Flask("keras")

    @app.get("/readyz")
    def ready() -> str:
        return ""

    @app.post("/predict")
    def predict() -> Any:
        rows = [list(row.values()) for row in request.get_json()["instances"]]
        return jsonify(predictions=model.predict(np.array(rows, "float32"), verbose=0).tolist())

    return app


def run_app(kind: str, port: int) -> None:
    """Serve one of the apps above just as the model server is served."""
    from gunicorn.app.base import BaseApplication

    from lastmile.serve.limits import Limits
    from lastmile.serve.server import ServerSettings, gunicorn_options, listen

    settings = ServerSettings(pointer=Path(), port=port, limits=Limits())
    options = gunicorn_options(settings, listen("127.0.0.1", port).detach())

    class Server(BaseApplication):
        limits = settings.limits

        def load_config(self) -> None:
            for name, value in options.items():
                self.cfg.set(name, value)

        def load(self) -> Any:
            return empty_app() if kind == "empty" else keras_app()

    Server().run()


# How it is measured


@dataclass
class Server:
    """A started server and what a client sends to it."""

    name: str
    port: int
    request: bytes
    seconds_to_ready: float
    memory_mb: float = 0.0
    """After the last round."""
    requests: int = 0
    cpu_seconds: float = 0.0
    rate: float = 0.0
    p50_ms: float = 0.0
    p99_ms: float = 0.0


def build_request(method: str, path: str, body: bytes = b"") -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n"
    if body:
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


@contextmanager
def started(
    name: str, command: list[str], port: int, probe: str, request: bytes, core: int
) -> Iterator[Server]:
    """Start a server on a core; wait until it answers the probe with 200."""
    own = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})  # inherited by the child
    begin = time.perf_counter()
    try:
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    finally:
        os.sched_setaffinity(0, own)
    try:
        while not answers(port, probe):
            if process.poll() is not None or time.perf_counter() - begin > 60:
                raise SystemExit(f"{name} did not start: {' '.join(command)}")
            time.sleep(0.005)
        yield Server(name, port, request, time.perf_counter() - begin)
    finally:
        process.terminate()
        process.wait(timeout=30)


def answers(port: int, path: str) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
            connection.sendall(build_request("GET", path))
            return b" 200 " in connection.recv(4096)
    except OSError:
        return False


def worker_of(port: int) -> Any:
    """The worker that listens on a port, the child of the process that we started."""
    import psutil

    found = [
        process
        for process in psutil.Process().children(recursive=True)
        if process.parent() != psutil.Process()
        and any(
            c.laddr.port == port for c in process.net_connections("tcp") if c.status == "LISTEN"
        )
    ]
    return found[0]


def cpu_seconds(worker: Any) -> float:
    times = worker.cpu_times()
    return float(times.user + times.system)


def load(server: Server, seconds: float, connections: int) -> tuple[float, list[float]]:
    """Return requests per second and each request's milliseconds; every answer must be a 200."""
    selector = selectors.DefaultSelector()
    sent: dict[socket.socket, float] = {}
    for _ in range(connections):
        connection = socket.create_connection(("127.0.0.1", server.port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector.register(connection, selectors.EVENT_READ)
        sent[connection] = time.perf_counter()
        connection.sendall(server.request)
    latencies: list[float] = []
    begin = time.perf_counter()
    while (now := time.perf_counter()) - begin < seconds:
        for key, _ in selector.select(1.0):
            connection = key.fileobj
            assert isinstance(connection, socket.socket)
            read_answer(connection, server.name)
            now = time.perf_counter()
            latencies.append(1000 * (now - sent[connection]))
            sent[connection] = now
            connection.sendall(server.request)
    elapsed = time.perf_counter() - begin
    selector.close()
    for connection in sent:
        connection.close()
    return len(latencies) / elapsed, latencies


def read_answer(connection: socket.socket, name: str) -> bytes:
    answer = connection.recv(65536)
    while (end := answer.find(b"\r\n\r\n")) < 0:
        answer += connection.recv(65536)
    if not answer.startswith(b"HTTP/1.1 200"):
        raise SystemExit(f"{name} answered {answer[:300]!r}")
    at = answer.find(b"Content-Length: ")
    length = int(answer[at + 16 : answer.find(b"\r", at)])
    while len(answer) < end + 4 + length:
        answer += connection.recv(65536)
    return answer[end + 4 :]


def measure(servers: list[Server], seconds: float, rounds: int, connections: int) -> None:
    """Let servers take turns; keep each one's best round, and its processor time over all rounds."""
    workers = [worker_of(server.port) for server in servers]
    for _ in range(rounds):
        for server, worker in zip(servers, workers, strict=True):
            before = cpu_seconds(worker)
            rate, latencies = load(server, seconds, connections)
            server.cpu_seconds += cpu_seconds(worker) - before
            server.requests += len(latencies)
            server.memory_mb = worker.memory_info().rss / 1e6
            if rate > server.rate:
                cuts = statistics.quantiles(latencies, n=100)
                server.rate, server.p50_ms, server.p99_ms = rate, cuts[49], cuts[98]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def run(seconds: float, rounds: int, with_keras: bool) -> None:
    """Measure everything and print the tables."""
    cores = sorted(os.sched_getaffinity(0))
    core = cores[-1]
    os.sched_setaffinity(0, {cores[0]})  # the client's
    body = json.dumps({"instances": [record()]}).encode()
    post, this = build_request("POST", "/predict", body), [sys.executable, "-m", "benchmarks.serve"]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        serve = [sys.executable, "-m", "lastmile.serve", "--pointer", str(write_pointer(folder))]

        def start(name: str, command: list[str], probe: str, request: bytes) -> Server:
            port = free_port()
            command = [*command, "--port", str(port)]
            return stack.enter_context(started(name, command, port, probe, request, core))

        empty = start(
            "empty Flask route", [*this, "--app", "empty"], "/", build_request("GET", "/")
        )
        posted = Server(
            "the same, sent the same record", empty.port, build_request("POST", "/", body),
            empty.seconds_to_ready,
        )  # fmt: skip
        ours = start(f"Lastmile `/predict`, {COLUMNS} columns", serve, "/readyz", post)
        servers = [empty, posted, ours]
        measure(servers, seconds, rounds, CONNECTIONS)
        goals = [
            Goal("of an empty route's requests/s", ours.rate / empty.rate, 0.6, "%", at_least=True),
            Goal("p99", ours.p99_ms, 5, "ms"),
            Goal("ready after", ours.seconds_to_ready, 0.5, "s"),
        ]
        if with_keras:
            keras = start("Flask with `model.predict`", [*this, "--app", "keras"], "/readyz", post)
            measure([keras], seconds, 1, CONNECTIONS)
            servers.append(keras)
            times = ours.rate / keras.rate
            goals.append(Goal("times `model.predict`'s requests/s", times, 100, at_least=True))
        goals.append(Goal("memory of a worker", ours.memory_mb, 120, "MB"))
    show(servers, empty)
    show_goals(*goals)


def write_pointer(folder: Path) -> Path:
    """Write a bundle and the pointer to it."""
    bundle = write_bundle(folder / "bundle")
    pointer = folder / "pointer.json"
    served = {"name": "bench", "version": 1, "release": 1, "bundle": str(bundle)}
    pointer.write_text(json.dumps(served))
    return pointer


def show(servers: list[Server], empty: Server) -> None:
    rows = [
        (s.name, f"{s.rate:,.0f}", f"{s.rate / empty.rate:.1%}", f"{s.p50_ms:.2f}",
         f"{s.p99_ms:.2f}", f"{1e6 * s.cpu_seconds / s.requests:,.0f}", f"{s.memory_mb:.0f}",
         f"{s.seconds_to_ready:.2f}")
        for s in servers
    ]  # fmt: skip
    print(f"One worker on one core, {CONNECTIONS} connections, one record a request; best round\n")
    head = ("server", "requests/s", "of empty", "p50 ms", "p99 ms", "CPU us each", "MB", "ready s")
    show_table(head, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--app", choices=("empty", "keras"), help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, default=1.0, help="per round")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--no-keras", action="store_true", help="leave model.predict out")
    given = parser.parse_args()
    if given.app:
        run_app(given.app, given.port)
    else:
        run(given.seconds, given.rounds, not given.no_keras)


if __name__ == "__main__":
    main()
