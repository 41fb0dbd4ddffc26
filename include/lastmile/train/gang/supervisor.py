"""The gang's supervisor: starts the workers, follows them, and starts all again when one is lost.

It imports no TensorFlow, so it outlives whatever TensorFlow does to a process.
"""

import logging
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from lastmile import errors
from lastmile.errors import ExitCode, GangError, LastmileError, TransientError
from lastmile.train.gang.cluster import Cluster, free_addresses
from lastmile.train.gang.events import Alive, EpochDone, Event, Failed, Finished, Resumed, Stopped
from lastmile.train.gang.process import Output, Worker

log = logging.getLogger(__name__)

POLL_SECONDS = 0.2
FROZEN_SECONDS = 10.0
"""A worker says every second that it is alive; silent for so long it counts as frozen."""
DOUBT_SECONDS = 3.0
"""Silent for so long, it rather than those who lost it is named as the cause."""
SETTLE_SECONDS = 1.0
"""When one worker ends, the others' endings in this time are looked at to find the cause."""
GRACE_SECONDS = 15.0
"""What a stopped gang may take to finish its step and save; whoever stops this process gives it 20."""
PROGRESS_SECONDS = 1.0
"""At least this long between two lines of progress."""


@dataclass
class Outcome:
    """What a training by a gang came to."""

    finished: Finished
    restarts: int
    resumed_from_step: int | None
    """The step that the last start went on from; None where it began at the beginning."""


@dataclass
class Supervisor:
    """Runs one training to its end, over as many starts as it takes and may take."""

    work: Path
    """The work folder."""
    workers: int
    max_restarts: int
    _stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> Outcome:
        """Train.

        Raises:
            PermanentError: A worker found that data, settings or the model are wrong.
            TransientError: This process was asked to stop; the checkpoint holds what was finished.
            GangError: Workers were lost more often than the gang may restart.
        """
        with self._taking_signals():
            restarts = 0
            while True:
                attempt = _Attempt(self)
                cause = attempt.run()
                if attempt.finished is not None:
                    return Outcome(attempt.finished, restarts, attempt.resumed_from_step)
                if self._stop.is_set():
                    raise TransientError(
                        f"Training was stopped after step {attempt.step}.",
                        "Its checkpoint is kept: the next start goes on from there.",
                    )
                if restarts == self.max_restarts:
                    raise _lost_too_often(cause, restarts)
                restarts += 1
                log.warning("%s Restart %d of at most %d, from the last checkpoint.",
                            cause, restarts, self.max_restarts)  # fmt: skip

    def stop(self) -> None:
        """Ask the gang to finish its step, save and end."""
        self._stop.set()

    @property
    def is_stopping(self) -> bool:
        """Whether the gang was asked to end."""
        return self._stop.is_set()

    @contextmanager
    def _taking_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield  # signals are the main thread's affair
            return
        taken = (signal.SIGTERM, signal.SIGINT)
        before = [signal.signal(number, self._on_signal) for number in taken]
        try:
            yield
        finally:
            for number, handler in zip(taken, before, strict=True):
                signal.signal(number, handler)

    def _on_signal(self, number: int, _frame: object) -> None:
        if number == signal.SIGINT and self.is_stopping:
            raise KeyboardInterrupt  # whoever presses Ctrl-C twice does not want to wait
        self.stop()


class _Attempt:
    """One start of the gang, up to its end."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self.finished: Finished | None = None
        self.resumed_from_step: int | None = None
        self.step = 0
        self._workers: list[Worker] = []
        self._grace_ends: float | None = None
        self._last_line = 0.0

    def run(self) -> str:
        """Start the workers and follow them until all have ended; return what was wrong.

        Raises:
            LastmileError: A worker ended with an error that a restart would not mend.
        """
        addresses = free_addresses(self._supervisor.workers)
        try:
            for index in range(len(addresses)):
                cluster = Cluster(addresses, index)
                self._workers.append(Worker.start(self._supervisor.work, cluster))
            log.info("Started %s.", ", ".join(
                f"worker {w.index} (process {w.process.pid})" for w in self._workers))  # fmt: skip
            self._output = Output(self._workers)
            return self._follow()
        finally:
            for worker in self._workers:
                worker.kill()
            if hasattr(self, "_output"):
                self._output.close()

    def _follow(self) -> str:
        while True:
            self._take_in(POLL_SECONDS)
            if self._supervisor.is_stopping:
                self._pass_on_stop()
            endings = [w.ending for w in self._workers]
            if all(code is not None for code in endings):
                return self._judge()
            if any(code not in (None, 0) for code in endings) and self._grace_ends is None:
                return self._judge()
            if any(self._is_frozen(w) for w in self._workers):
                return self._judge()
            if self._grace_ends is not None and time.monotonic() > self._grace_ends:
                return "The gang did not end in time."

    def _take_in(self, seconds: float) -> None:
        for worker, said in self._output.read(seconds):
            if isinstance(said, str):
                log.info("[w%d] %s", worker.index, said)
            else:
                self._note(worker, said)

    def _note(self, worker: Worker, event: Event) -> None:
        if worker.index != 0 or isinstance(event, (Alive, Failed)):
            return
        if isinstance(event, Finished):
            self.finished = event
            return
        self.step = event.step
        if isinstance(event, Resumed):
            if event.step:
                self.resumed_from_step = event.step
                log.info("Going on from step %d, in epoch %d.", event.step, event.epoch + 1)
        elif isinstance(event, Stopped):
            log.info("Stopped after step %d, in epoch %d.", event.step, event.epoch + 1)
        else:
            self._show(event)

    def _show(self, event: EpochDone) -> None:
        now = time.monotonic()
        if now - self._last_line >= PROGRESS_SECONDS or event.epoch == event.epochs:
            log.info("%s", event)
            self._last_line = now

    def _pass_on_stop(self) -> None:
        if self._grace_ends is None:
            self._grace_ends = time.monotonic() + GRACE_SECONDS
            log.info("Asked to stop: the workers finish their step and save.")
            for worker in self._workers:
                worker.terminate()

    def _is_frozen(self, worker: Worker) -> bool:
        return worker.ending is None and worker.silent_for() > FROZEN_SECONDS

    def _judge(self) -> str:
        """Say which worker ended how; raise where a restart is of no use."""
        until = time.monotonic() + SETTLE_SECONDS
        while any(w.ending is None for w in self._workers) and time.monotonic() < until:
            if any(_is_permanent(w) for w in self._workers):
                break
            self._take_in(0.05)
        self._take_in(0)
        if all(w.ending == ExitCode.DONE for w in self._workers):
            return "" if self.finished else "Worker 0 ended without a result."
        self.finished = None
        for worker in self._workers:
            if _is_permanent(worker):
                raise _said(worker)
        return _describe(max(self._workers, key=_guilt))


def _is_permanent(worker: Worker) -> bool:
    return worker.ending == ExitCode.WRONG_INPUT


def _guilt(worker: Worker) -> int:
    """How likely a worker is the cause: one that only lost the others ends with 75."""
    code = worker.ending
    if code is None:
        return 2 if worker.silent_for() > DOUBT_SECONDS else 0
    if code == ExitCode.TRANSIENT:
        return 1 + (worker.failure is not None)
    return 3 if code else 0


def _said(worker: Worker) -> LastmileError:
    """Return the error that a worker ended with, as its own class."""
    failure = worker.failure
    if failure is None:
        return errors.TrainingError(
            f"{_describe(worker)}", "See its last lines above for the cause."
        )
    found = getattr(errors, failure.error, None)
    if isinstance(found, type) and issubclass(found, LastmileError):
        return found(failure.headline, failure.hint)
    return errors.TrainingError(failure.headline, failure.hint)


def _describe(worker: Worker) -> str:
    text = f"Worker {worker.index} {worker.describe_ending()}"
    if worker.failure is not None:
        return f"{text}: {worker.failure.headline}"
    if worker.tail and (worker.ending or 0) > 0:
        return f"{text}: {worker.tail[-1][:300]}"
    return f"{text}."


def _lost_too_often(cause: str, restarts: int) -> GangError:
    return GangError(
        f"The gang was lost {restarts + 1} times. The last time: {cause}",
        "The checkpoint is kept: a retry goes on from there. See the workers' lines in the log; a "
        "SIGKILL that nobody sent is usually a lack of memory.",
    )
