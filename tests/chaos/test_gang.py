"""Faults in real gangs: whatever is killed, frozen or stopped, the model in the end is the same."""

import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from lastmile.errors import ExitCode, GangError, TransientError
from lastmile.run import Context, StageName, StageRecord, execute
from lastmile.train.examples import prepare_examples
from lastmile.train.gang.cluster import Cluster, free_addresses
from lastmile.train.gang.process import worker_environment
from lastmile.train.stage import write_work
from unit.train.datasets import moons_in

pytestmark = [pytest.mark.chaos, pytest.mark.slow]

ROWS = 6000
"""An epoch of 84 steps: a fraction of a second by two workers, so that faults come in its midst."""
EPOCHS = 30

Act = Callable[[dict[int, int], int], None]
"""Takes the workers' process ids, and how often the gang was started before."""


class Saboteur(logging.Handler):
    """Follows the log as a person would, and acts once when a gang shows its second line of progress."""

    def __init__(self, act: Act) -> None:
        super().__init__()
        self._act = act
        self._starts = 0
        self._lines = 0
        self._workers: dict[int, int] = {}
        self.said: list[str] = []
        self.acted_at: list[float] = []
        self.epochs_after: list[float] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        self.said.append(text)
        if text.startswith("Started worker"):
            found = re.findall(r"worker (\d+) \(process (\d+)\)", text)
            self._workers = {int(index): int(pid) for index, pid in found}
            self._starts, self._lines = self._starts + 1, 0
        elif text.startswith("epoch "):
            self._lines += 1
            self.epochs_after.append(time.monotonic())
            if self._lines == 2:
                self.acted_at.append(time.monotonic())
                self._act(self._workers, self._starts - 1)


@contextmanager
def sabotaged(act: Act) -> Iterator[Saboteur]:
    saboteur, logger = Saboteur(act), logging.getLogger("lastmile")
    level = logger.level
    logger.addHandler(saboteur)
    logger.setLevel(logging.INFO)
    try:
        yield saboteur
    finally:
        logger.removeHandler(saboteur)
        logger.setLevel(level)


def gang_in(root: Path, **settings: Any) -> Context:
    return moons_in(
        root, workers=2, rows=ROWS, epochs=EPOCHS, early_stopping=None, settings=settings
    )


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> StageRecord:
    return execute(StageName.TRAIN, gang_in(tmp_path_factory.mktemp("undisturbed")))


def test_after_sigkill_of_each_worker_the_model_is_the_same(
    undisturbed: StageRecord, tmp_path: Path
) -> None:
    def kill(workers: dict[int, int], starts: int) -> None:
        if starts < 2:
            os.kill(workers[starts], signal.SIGKILL)  # worker 0 first, worker 1 after the restart

    with sabotaged(kill) as saboteur:
        record = execute(StageName.TRAIN, gang_in(tmp_path))
    assert record.artefact == undisturbed.artefact
    assert record.summary["restarts"] == 2
    assert record.summary["resumed_from_step"] > 0  # type: ignore[operator]
    for index in (0, 1):
        assert any(f"Worker {index} was ended by SIGKILL." in line for line in saboteur.said)
    for killed in saboteur.acted_at[:2]:
        assert min(t for t in saboteur.epochs_after if t > killed) - killed < 30


def test_sigterm_loses_no_finished_step(undisturbed: StageRecord, tmp_path: Path) -> None:
    context = gang_in(tmp_path, checkpoint_seconds=10_000)  # no checkpoint but the one on SIGTERM
    with (
        sabotaged(lambda *_: os.kill(os.getpid(), signal.SIGTERM)) as stopped,
        pytest.raises(TransientError, match=r"Training was stopped after step \d+\.") as caught,
    ):
        execute(StageName.TRAIN, context)
    assert caught.value.exit_code == ExitCode.TRANSIENT
    step = int(re.findall(r"\d+", caught.value.headline)[0])
    assert step > 0
    with sabotaged(lambda *_: None) as resumed:
        record = execute(StageName.TRAIN, context)
    assert f"Stopped after step {step}," in "\n".join(stopped.said)
    assert f"Going on from step {step}," in "\n".join(resumed.said)
    assert record.summary["resumed_from_step"] == step
    assert record.artefact == undisturbed.artefact


def test_sigterm_of_one_worker_alone_stops_all_at_one_step(
    undisturbed: StageRecord, tmp_path: Path
) -> None:
    def terminate(workers: dict[int, int], starts: int) -> None:
        if starts == 0:
            os.kill(workers[1], signal.SIGTERM)

    with sabotaged(terminate) as saboteur:
        record = execute(StageName.TRAIN, gang_in(tmp_path, checkpoint_seconds=10_000))
    said = "\n".join(saboteur.said)
    stopped = re.search(r"Stopped after step (\d+),", said)
    assert stopped is not None
    assert f"Going on from step {stopped[1]}," in said
    assert record.artefact == undisturbed.artefact


def test_a_frozen_worker_is_noticed_and_named(undisturbed: StageRecord, tmp_path: Path) -> None:
    def freeze(workers: dict[int, int], starts: int) -> None:
        if starts == 0:
            os.kill(workers[1], signal.SIGSTOP)

    with sabotaged(freeze) as saboteur:
        record = execute(StageName.TRAIN, gang_in(tmp_path))
    assert any("Worker 1 stopped answering" in line for line in saboteur.said)
    after = [t for t in saboteur.epochs_after if t > saboteur.acted_at[0]]
    assert max(after) - saboteur.acted_at[0] < 60
    assert record.summary["restarts"] == 1
    assert record.artefact == undisturbed.artefact


def test_a_gang_lost_too_often_says_which_worker_ended_how(tmp_path: Path) -> None:
    with (
        sabotaged(lambda workers, _: os.kill(workers[1], signal.SIGKILL)),
        pytest.raises(GangError) as caught,
    ):
        execute(StageName.TRAIN, gang_in(tmp_path, max_restarts=0))
    assert "Worker 1 was ended by SIGKILL." in caught.value.headline
    assert caught.value.exit_code == ExitCode.TRANSIENT


def test_no_worker_outlives_a_killed_supervisor(tmp_path: Path) -> None:
    code = (
        "import logging, pathlib, sys; logging.basicConfig(level='INFO', format='%(message)s')\n"
        "from unit.train.datasets import moons_in\n"
        "from lastmile.run import StageName, execute\n"
        f"execute(StageName.TRAIN, moons_in(pathlib.Path(sys.argv[1]), 2, {ROWS}, epochs=10**6,"
        " early_stopping=None))"
    )
    tests = str(Path(__file__).parent.parent)
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": tests},
    ) as stage:  # fmt: skip
        assert stage.stderr is not None
        line = next(line for line in stage.stderr if line.startswith("epoch "))
        assert "/1000000 " in line
        workers = psutil.Process(stage.pid).children()
        assert len(workers) == 2
        stage.kill()
        _, alive = psutil.wait_procs(workers, timeout=5)
        stage.stderr.read()
    assert alive == []


def test_a_worker_whose_peer_never_comes_ends_within_the_deadline(tmp_path: Path) -> None:
    context = moons_in(tmp_path, workers=2, settings={"barrier_seconds": 0.5})
    dataset = context.store.open_artefact(context.record(StageName.PREPARE).artefact)
    prepared = prepare_examples(dataset, context.pipeline.train)
    write_work(context, prepared, "checkpoints/toy/x", tmp_path / "work")
    addresses = free_addresses(2)
    done = subprocess.run(
        [sys.executable, "-m", "lastmile.train.gang.member", "--work", str(tmp_path / "work")],
        env=worker_environment(Cluster(addresses, 0)),
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == ExitCode.TRANSIENT
    assert f"Within 0.5 s worker 1 ({addresses[1]}) never came." in done.stderr


def test_sigterm_before_the_first_step_ends_at_once(tmp_path: Path) -> None:
    def on_start(record: logging.LogRecord) -> bool:
        if record.getMessage().startswith("Started worker"):
            threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM)).start()
        return True

    logger = logging.getLogger("lastmile.train.gang.supervisor")
    logger.addFilter(on_start)
    logger.setLevel(logging.INFO)
    try:
        with pytest.raises(TransientError, match="Training was stopped after step 0"):
            execute(StageName.TRAIN, gang_in(tmp_path))
    finally:
        logger.removeFilter(on_start)
        logger.setLevel(logging.NOTSET)
