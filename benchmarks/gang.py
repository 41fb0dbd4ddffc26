"""How soon a gang goes on after one of its workers was killed with SIGKILL.

`python -m benchmarks.gang`. A gang of two trains with the settings' own defaults. Worker 1 is killed right
after a checkpoint, worker 0 right before the next one is due, which is the worst moment: all that was done
since the one before has to be done again. What is stated is what a person sees in the log, which shows a line
a second at most. Beside it stands what starting from the beginning would have taken.
"""

import argparse
import logging
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks._report import Goal, show_goals, show_table
from benchmarks.train import CASES, write_work

from lastmile.settings import Settings
from lastmile.train.gang.events import EpochDone
from lastmile.train.gang.supervisor import Supervisor
from lastmile.train.work import Work

MARGIN_SECONDS = 1.0
"""How long after a checkpoint, or before the next, the worker is killed."""


@dataclass
class Kill:
    """One worker's end, and what came of it. Moments are in seconds of the monotonic clock."""

    worker: int
    when: str
    at: float = 0.0
    step: int = 0
    """The last step that the log had shown."""
    noticed: float = 0.0
    resumed: float = 0.0
    resumed_step: int = 0
    beyond: float = 0.0
    training_before: float = 0.0
    """Seconds of training up to the kill."""


@dataclass(eq=False)
class Watcher(logging.Handler):
    """Follows the log as a person would."""

    pids: dict[int, int] = field(default_factory=dict)
    step: int = 0
    kill: Kill | None = None
    started: float = 0.0
    first_line: float = 0.0
    heard: threading.Condition = field(default_factory=threading.Condition)

    def __post_init__(self) -> None:
        super().__init__()

    def emit(self, record: logging.LogRecord) -> None:
        with self.heard:
            self._note(record, time.monotonic())
            self.heard.notify_all()

    def _note(self, record: logging.LogRecord, now: float) -> None:
        kill, text = self.kill, record.getMessage()
        if text.startswith("Started worker"):
            found = [part.split(")")[0] for part in text.split("(process ")[1:]]
            self.pids = dict(enumerate(map(int, found)))
            self.started = self.started or now
        elif kill is not None and "Restart" in text:
            kill.noticed = now
        elif kill is not None and text.startswith("Going on from step"):
            kill.resumed, kill.resumed_step = now, int(text.split()[4].rstrip(","))
        elif record.args and isinstance(event := record.args[0], EpochDone):  # type: ignore[index]
            self.first_line = self.first_line or now
            self.step = event.step
            if kill is not None and kill.noticed and event.step > kill.step:
                kill.beyond = kill.beyond or now

    def wait(self, is_so: Callable[[], bool], seconds: float = 120.0) -> None:
        with self.heard:
            if not self.heard.wait_for(is_so, seconds):
                raise SystemExit(f"Nothing came of it within {seconds:g} s.")

    def sabotage(self, kill: Kill) -> None:
        """Kill a worker, and wait until training is beyond the step it was at."""
        with self.heard:
            kill.at, kill.step, self.kill = time.monotonic(), self.step, kill
            os.kill(self.pids[kill.worker], signal.SIGKILL)
        self.wait(lambda: bool(kill.beyond))
        kill.training_before = kill.at - self.first_line


def wait_for_checkpoint(folder: Path, after: float, seconds: float) -> float:
    """Wait for a checkpoint written after a moment (of the wall clock); return when it was."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        heads = [head.stat().st_mtime for head in folder.glob("*.json")]
        if new := [moment for moment in heads if moment > after]:
            return max(new)
        time.sleep(0.02)
    raise SystemExit(f"No checkpoint within {seconds:g} s.")


def sabotage(watcher: Watcher, checkpoints: Path, interval: float) -> list[Kill]:
    """Kill each worker once, at the best and at the worst moment."""
    early = Kill(1, "right after a checkpoint")
    wait_for_checkpoint(checkpoints, 0, interval + 60)
    time.sleep(MARGIN_SECONDS)
    watcher.sabotage(early)
    late = Kill(0, "right before the next is due")
    written = wait_for_checkpoint(checkpoints, time.time(), interval + 60)
    time.sleep(max(0.0, written + interval - MARGIN_SECONDS - time.time()))
    watcher.sabotage(late)
    return [early, late]


def measure() -> tuple[list[Kill], float, float]:
    """Return the kills, the seconds that the first start took, and the checkpoints' interval."""
    watcher, logger = Watcher(), logging.getLogger("lastmile")
    logger.setLevel(logging.INFO)
    logger.addHandler(watcher)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "work")
        write_work(CASES[0], folder)
        settings = Settings(root=Path(scratch))
        made = Work.read(folder)
        work = made.model_copy(update={"checkpoint_seconds": settings.checkpoint_seconds})
        (folder / "work.json").write_text(work.model_dump_json())
        supervisor = Supervisor(folder, 2, settings.max_restarts)
        training = threading.Thread(target=_train, args=(supervisor,))
        training.start()
        try:
            watcher.wait(lambda: bool(watcher.first_line))
            checkpoints = folder / "store" / work.checkpoints
            kills = sabotage(watcher, checkpoints, work.checkpoint_seconds)
        finally:
            supervisor.stop()
            training.join()
    return kills, watcher.first_line - watcher.started, work.checkpoint_seconds


def _train(supervisor: Supervisor) -> None:
    from lastmile.errors import TransientError

    try:
        supervisor.run()
    except TransientError:
        return  # it was asked to stop


def show(kills: list[Kill], start: float, interval: float) -> None:
    print(
        f"Two workers, {CASES[0].name}; a checkpoint every {interval:g} s. Seconds from the kill until\n"
    )
    rows = [
        (
            f"worker {kill.worker}, {kill.when}",
            f"{kill.noticed - kill.at:.1f}",
            f"{kill.resumed - kill.at:.1f}",
            f"{kill.step - kill.resumed_step:,}",
            f"{kill.beyond - kill.at:.1f}",
            f"{kill.training_before + start:.1f}",
        )
        for kill in kills
    ]
    head = ("killed", "noticed", "training again", "steps to repeat", "beyond the step it was at",
            "from the beginning it would take")  # fmt: skip
    show_table(head, rows)
    print(f"\nA start takes {start:.1f} s to the first finished epoch.")
    worst = max(kill.beyond - kill.at for kill in kills)
    show_goals(Goal("beyond the step it was at, at worst", worst, 30, "s"))


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    show(*measure())


if __name__ == "__main__":
    main()
