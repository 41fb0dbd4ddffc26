"""Faults injected into deploys: killed at every step, broken candidates, taken ports, full disks."""

import importlib
import multiprocessing
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from deployed import PIPELINE, Service, Traffic, kill_at, new_service
from lastmile.cli.serve import bring_up
from lastmile.errors import DeployError, ExitCode, LastmileError, StoreError
from lastmile.ledger.ledger import Ledger

pytestmark = [pytest.mark.chaos, pytest.mark.slow]

CHILDREN = multiprocessing.get_context("forkserver")
CHILDREN.set_forkserver_preload(["deployed", "mlflow"])


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with new_service(tmp_path) as made:
        yield made


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with a champion, for all faults that it is to survive."""
    with new_service(tmp_path_factory.mktemp("standing")) as made:
        made.release(1000.0)
        yield made


# A deploy that is killed, and started again

STEPS = (
    ("lastmile.ledger.ledger", "Ledger.add_release", True),
    ("shutil", "copyfile", True),  # half a bundle
    ("lastmile.deploy.server", "ServerProcess._note", False),  # a preview, not yet written down
    ("lastmile.deploy.rollout", "smoke_test", False),
    ("lastmile.deploy.process", "ProcessTarget.switch", False),
    ("lastmile.deploy.process", "ProcessTarget.switch", True),
    ("lastmile.deploy.process", "ProcessTarget.wait_for", True),
    ("lastmile.clients.mlflow", "Tracking.set_alias", True),
    ("lastmile.ledger.ledger", "Ledger.set_serving", True),
)
STEPS_OF_A_FIRST = (
    ("lastmile.deploy.ports", "ServerProcess.write_record", True),
    ("lastmile.deploy.process", "ProcessTarget.switch", True),
    ("lastmile.deploy.rollout", "_write_down", False),
)


def place_of(module: str, step: str) -> tuple[object, str]:
    *owners, name = step.split(".")
    place: object = importlib.import_module(module)
    for owner in owners:
        place = getattr(place, owner)
    return place, name


def deploy_and_die(service: Service, package: Any, module: str, step: str, after: bool) -> None:
    kill_at(*place_of(module, step), after)
    service.put(*package)


def in_a_child(target: Any, *arguments: Any) -> int | None:
    child = CHILDREN.Process(target=target, args=arguments)
    child.start()
    child.join(60)
    code = child.exitcode
    child.close()
    return code


@pytest.mark.parametrize(("module", "step", "after"), STEPS)
def test_a_deploy_killed_at_any_step_is_completed_by_the_next(
    standing: Service, module: str, step: str, after: bool
) -> None:
    server, before = standing.public.process(), standing.answer()
    bias = before[1] + 1
    package = standing.package(bias)
    assert in_a_child(deploy_and_die, standing, package, module, step, after) == -signal.SIGKILL
    candidate = package[0].version, bias
    assert standing.answer() in {before, candidate}
    again = standing.put(*package)
    assert (again.released, again.previous) == (True, before[0])
    assert standing.answer() == candidate
    assert standing.public.process() == server
    standing.check_consistent()


@pytest.mark.parametrize(
    ("step", "after"),
    [
        ("ProcessTarget._would_start", True),
        ("ServerProcess.start", True),
        ("ProcessTarget._took_over", False),
        ("ProcessTarget._took_over", True),
        ("ServerProcess.end_others", True),
    ],
)
def test_a_deploy_killed_while_its_server_is_succeeded_is_completed_by_the_next(
    standing: Service, step: str, after: bool
) -> None:
    record, before = standing.public.record(), standing.answer()
    assert record is not None
    standing.public.write_record(record.model_copy(update={"code": "older"}))
    package = standing.package(before[1] + 1)
    died = in_a_child(deploy_and_die, standing, package, "lastmile.deploy.process", step, after)
    assert died == -signal.SIGKILL
    traffic = Traffic(record.port, {before[0]: before[1], package[0].version: before[1] + 1})
    with traffic.flowing():
        standing.put(*package)
    assert traffic.failures == []
    assert standing.answer() == (package[0].version, before[1] + 1)
    now = standing.public.record()
    assert now is not None
    assert (now.code, now.port) == (record.code, record.port)
    standing.check_consistent()


@pytest.mark.parametrize(("module", "step", "after"), STEPS_OF_A_FIRST)
def test_a_first_deploy_killed_at_any_step_is_completed_by_the_next(
    service: Service, module: str, step: str, after: bool
) -> None:
    package = service.package(1.0)
    assert in_a_child(deploy_and_die, service, package, module, step, after) == -signal.SIGKILL
    assert service.put(*package).released
    service.check_consistent()


def test_a_deploy_killed_after_its_switch_is_undone_where_it_cannot_be_completed(
    service: Service,
) -> None:
    service.release(1.0)
    package = service.package(2.0)
    set_alias = ("lastmile.clients.mlflow", "Tracking.set_alias", True)
    assert in_a_child(deploy_and_die, service, package, *set_alias) == -signal.SIGKILL
    service.crash()
    for place in (service.settings.home_path / "store" / "artefacts", service.folder / "bundles"):
        model = place / package[0].bundle / "model.onnx"
        model.write_bytes(b"?")
    assert service.bring_up().version == 1
    assert service.answer() == (1, 1.0)
    service.check_consistent()


def test_a_server_outlives_the_process_that_started_it(service: Service) -> None:
    package = service.package(1.0)
    at_the_end = ("lastmile.ledger.ledger", "Ledger.set_serving", True)
    assert in_a_child(deploy_and_die, service, package, *at_the_end) == -signal.SIGKILL
    [master] = service.masters()
    assert master.ppid() != os.getpid()
    assert os.getsid(master.pid) == master.pid
    assert service.answer() == (1, 1.0)


# Two at once


def deploy_into(service: Service, package: Any, start: Any, answers: Any) -> None:
    start.wait()
    try:
        answers.put((0, service.put(*package).released))
    except LastmileError as error:
        answers.put((int(error.exit_code), error.headline))


def test_the_same_deploy_twice_at_once_is_done_once(service: Service) -> None:
    service.release(1.0)
    package = service.package(2.0)
    start, answers = CHILDREN.Barrier(2), CHILDREN.SimpleQueue()
    both = [
        CHILDREN.Process(target=deploy_into, args=(service, package, start, answers))
        for _ in range(2)
    ]
    for child in both:
        child.start()
    outcomes = sorted(answers.get() for _ in both)
    for child in both:
        child.join()
        child.close()
    answers.close()
    assert outcomes[0] == (0, True)
    assert outcomes[1][0] == ExitCode.TRANSIENT
    assert "busy" in outcomes[1][1]
    assert len(service.ledger.releases(PIPELINE)) == 2
    service.check_consistent()


# Candidates that fail in the server

FAULTS = """
import os, sys, time
from pathlib import Path

def at_start(): {at_start}
def at_request(): {at_request}
def at_load(version): {at_load}

if "lastmile.serve" in sys.orig_argv and Path.cwd().name {where} "preview":
    at_start()
    import lastmile.serve.live as live, lastmile.serve.predict as predict
    load, parse = live.load_model, predict.parse_records
    def load_model(pointer):
        at_load(pointer.version)
        return load(pointer)
    def parse_records(*arguments):
        at_request()
        return parse(*arguments)
    live.load_model, predict.parse_records = load_model, parse_records
"""


@contextmanager
def broken_server(
    folder: Path, where: str = "==", at_start: str = "pass", at_request: str = "pass",
    at_load: str = "pass",
) -> Iterator[None]:  # fmt: skip
    """Let servers that start from now on do what is said, in the preview or (`!=`) elsewhere."""
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(
        FAULTS.format(where=where, at_start=at_start, at_request=at_request, at_load=at_load)
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(folder))
        yield


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ({"at_start": "os._exit(3)"}, "ended"),
        ({"at_start": "time.sleep(600)"}, "does not listen after 2 s"),
        ({"at_load": "time.sleep(600)"}, "not ready after 2 s"),
        ({"at_load": "os.abort()"}, "not ready after 2 s"),
        ({"at_request": "os.abort()"}, "does not answer"),
        ({"at_request": "time.sleep(600)"}, "did not answer within"),
        ({"at_request": "time.sleep(0.45)"}, "did not answer within|did not end in time"),
        ({"at_request": "raise RuntimeError"}, "answered 500"),
    ],
)
def test_a_candidate_whose_server_fails_leaves_the_champion(
    standing: Service, fault: dict[str, str], says: str
) -> None:
    hasty = replace(standing, patience=replace(standing.patience, start=2.0, smoke=1.0))
    package = standing.package(2.0)
    before = standing.snapshot()
    with (
        broken_server(standing.root / "fault", **fault),
        pytest.raises(DeployError, match=says) as caught,
    ):
        hasty.put(*package)
    assert caught.value.headline.endswith(f"Version {standing.champion().version} still answers.")
    assert caught.value.hint
    assert "lastmile serve" not in caught.value.hint
    assert standing.snapshot() == before
    standing.check_consistent()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"bundle": {"bias": float("nan")}}, "finite values"),
        ({"records": ({"x": 1e38},), "answers": ({"value": 1e38},), "bundle": {"steep": 1e30}},
         "The smoke test"),
        ({"bundle": {"column": "z"}}, "The smoke test failed"),
        ({"answers": ({"probability": 0.5}, {"probability": 0.5})}, "The smoke test expected"),
        ({"bundle": {"width": 7}}, "cannot be served"),
    ],
)  # fmt: skip
def test_a_candidate_that_answers_wrongly_leaves_the_champion(
    standing: Service, change: dict[str, Any], says: str
) -> None:
    import numpy as np

    from lastmile.features.schema import Column, ColumnKind

    bundle = dict(change.get("bundle", {}))
    if column := bundle.pop("column", None):
        bundle["columns"] = (Column(column, ColumnKind.NUMBER),)
    if steep := bundle.pop("steep", None):
        bundle["weights"] = np.array([[steep]])
    package = standing.package(2.0, **{**change, "bundle": bundle})
    before = standing.snapshot()
    with pytest.raises(DeployError, match=says):
        standing.put(*package)
    assert standing.snapshot() == before
    standing.check_consistent()


def test_a_candidate_that_only_the_public_server_cannot_load_is_rolled_back(
    service: Service,
) -> None:
    fault = (
        "\n    from lastmile.errors import ArtefactError"
        "\n    if version == 2: raise ArtefactError('no room for it', 'hint')"
    )
    with broken_server(service.root / "fault", where="!=", at_load=fault):
        service.release(1.0)
    package = service.package(2.0)
    with pytest.raises(DeployError, match=r"no room for it Version 1 still answers\."):
        service.put(*package)
    service.check_consistent()


# The place where it is to be served


@contextmanager
def foreign_program(code: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program of somebody else's until the block ends."""
    code = f"import socket, time; {code}; print(flush=True); time.sleep(600)"
    command = [sys.executable, "-c", code, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as program:
        try:
            assert program.stdout is not None
            program.stdout.readline()
            yield program
        finally:
            program.kill()


def listening(port: int) -> str:
    return f"s = socket.socket(); s.setsockopt(1, 2, 1); s.bind(('127.0.0.1', {port})); s.listen()"


def test_a_port_taken_by_another_program_is_named_and_nothing_changes(service: Service) -> None:
    service.release(1.0)
    record = service.public.record()
    assert record is not None
    service.take_down()
    package = service.package(2.0)
    before = service.snapshot()
    with foreign_program(listening(record.port)) as program:
        with pytest.raises(
            DeployError, match=f"Port {record.port}.*process {program.pid}"
        ) as caught:
            service.put(*package)
        models = bring_up([], service.settings)
        assert program.poll() is None
    assert not models.is_well
    assert models.exit_code == ExitCode.WRONG_INPUT
    assert models.models[0].state == "down"
    assert f"Port {record.port}" in (models.models[0].problem or "")
    assert caught.value.exit_code == ExitCode.WRONG_INPUT
    assert "server.json" in caught.value.hint
    assert service.snapshot() == before
    assert len(service.ledger.releases(PIPELINE)) == 1
    service.put(*package)
    assert service.answer() == (2, 2.0)


def test_another_process_with_the_recorded_id_is_not_touched(service: Service) -> None:
    service.release(1.0)
    record = service.public.record()
    assert record is not None
    service.crash()
    with foreign_program("pass", "lastmile.serve") as other:
        started = psutil.Process(other.pid).create_time()
        service.public.write_record(
            record.model_copy(update={"pid": other.pid, "started": started})
        )
        assert service.public.process() is None
        service.bring_up()
        service.check_consistent()
        service.take_down()
        assert other.poll() is None


@contextmanager
def full_disk(limit: int) -> Iterator[None]:
    """Let no file grow beyond a size: a real error of the operating system, for root as well."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_too_full_for_the_bundle_leaves_the_champion(service: Service) -> None:
    service.release(1.0)
    package = service.package(2.0, extra={"large.bin": bytes(8_000_000)})
    before = service.snapshot()
    with full_disk(4_000_000), pytest.raises(DeployError, match="cannot be copied") as caught:
        service.put(*package)
    assert caught.value.headline.endswith("Version 1 still answers.")
    assert "Free some space" in caught.value.hint
    assert service.snapshot() == before
    service.check_consistent()


@pytest.mark.parametrize("place", ["serve", "serve/toy/preview"])
def test_a_serve_folder_that_cannot_be_written_is_a_deploy_error(
    service: Service, place: str
) -> None:
    path = service.settings.home_path / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("a file is in the way, for root as well")
    with pytest.raises(DeployError, match="cannot be") as caught:
        service.release(1.0)
    assert caught.value.hint
    assert service.ledger.champion(PIPELINE) is None
    assert service.masters() == []
    path.unlink()
    service.release(1.0)
    service.check_consistent()


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("mount") is None,
    reason="mounting a small file system needs root",
)
def test_a_ledger_whose_disk_is_full_says_so(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], check=True)
    try:
        ledger = Ledger(f"sqlite:///{disk / 'ledger.db'}")
        assert ledger.releases(PIPELINE) == []
        with suppress(OSError), (disk / "filler").open("wb", buffering=0) as filler:
            while True:
                filler.write(bytes(4096))
        with pytest.raises(StoreError, match="no room left on its disk") as caught:
            ledger.add_release(
                pipeline=PIPELINE, version=1, bundle="0" * 64, candidate="0" * 64,
                run_id="r", target="process", status="failed", reason="x" * 1_000_000,
            )  # fmt: skip
        assert str(disk / "ledger.db") in caught.value.headline
        assert "Free some space" in caught.value.hint
    finally:
        subprocess.run(["umount", "-l", disk], check=True)
