"""Epochs, early stopping and checkpoints over the compiled loop.

Every decision is made from values that were summed over all workers, so all decide the same.
"""

import math
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lastmile.errors import TrainingError, TransientError
from lastmile.train.batches import Batches, Weights
from lastmile.train.gang.checkpoint import Arrays, Checkpoints, Snapshot
from lastmile.train.gang.events import EpochDone, EventWriter, Resumed, Stopped
from lastmile.train.gang.lifeline import StopFlag
from lastmile.train.gang.progress import Progress
from lastmile.train.work import Work

if TYPE_CHECKING:
    from lastmile.train.gang.loop import Loop

CALL_SECONDS = 0.25
"""How long one call of the loop should take: SIGTERM is heard at its end."""
MOST_STEPS = 4096


class StoppedError(TransientError):
    """The worker was asked to stop, and all that is finished is in the checkpoint."""


@dataclass
class Trainer:
    """One worker's part in a training."""

    work: Work
    loop: "Loop"
    batches: Batches
    row_weights: Weights
    checkpoints: Checkpoints
    events: EventWriter
    stop: StopFlag
    progress: Progress = field(default_factory=Progress)
    best: Arrays = field(default_factory=list)
    """Weights of the best epoch."""

    def __post_init__(self) -> None:
        self._pace = _Pace()
        self._last_checkpoint = time.monotonic()

    @property
    def is_chief(self) -> bool:
        """Whether this worker writes checkpoints."""
        return self.batches.worker == 0

    def restore(self) -> None:
        """Go on from the newest sound checkpoint, if there is one.

        Raises:
            TransientError: The workers found different ones.
        """
        snapshot = self.checkpoints.load()
        if snapshot is not None:
            self.loop.write(snapshot.groups)
            self.progress = snapshot.progress
            self.best = snapshot.groups.get("best", [])
        mine, workers = self.progress.step, self.batches.workers
        if self.loop.agree(mine) != mine * workers:
            raise TransientError(
                f"Worker {self.batches.worker} found the checkpoint of step {mine}, others another.",
                "The store gave different answers; the next start reads it again.",
            )
        self.events.send(Resumed(step=mine, epoch=self.progress.epoch))

    def run(self) -> None:
        """Train to the end, then leave the weights to keep in the model.

        Raises:
            StoppedError: A worker got SIGTERM; the checkpoint holds every finished step.
            TrainingError: The loss is no longer a number.
        """
        while not self.progress.is_over(self.work.train):
            started = time.monotonic()
            steps = self._run_steps()
            validation = self._check(self.loop.validate(), "validation loss")
            loss = math.fsum(self.progress.losses) / self.batches.steps
            is_best = self.progress.finish_epoch(loss, validation, self.work.train)
            if is_best and self.work.train.early_stopping is not None:
                self.best = self.loop.read_weights()
            self._pace.note_epoch(steps * self.batches.batch, time.monotonic() - started)
            self._tell(loss, validation)
            self._save_if_due()
        if self.work.train.early_stopping is not None:
            self.loop.write(self.loop.read() | {"weights": self.best})

    @property
    def kept_epoch(self) -> int:
        """The epoch whose weights `run` left in the model, counted from 1."""
        is_best_kept = self.work.train.early_stopping is not None
        return self.progress.best_epoch if is_best_kept else self.progress.epoch

    @property
    def rows_per_second(self) -> float:
        """Return the rate over the whole training, its first epoch left out."""
        return self._pace.overall

    def _run_steps(self) -> int:
        """Do what is left of the epoch under way; return how many steps that was."""
        indices, weights = self.batches.epoch(self.progress.epoch, self.row_weights)
        first = done = len(self.progress.losses)
        while done < self.batches.steps:
            until = min(self.batches.steps, done + self._pace.steps)
            started = time.monotonic()
            result = self.loop.advance(
                indices[done:until],
                weights[done:until],
                self.progress.step,
                self.stop.is_set,
                self._pace.seconds,
            )
            self._pace.note_call(until - done, time.monotonic() - started, result.seconds)
            for loss in result.losses:
                self._check(loss, "loss")
            self.progress.advance(result.losses)
            done = until
            if result.stop:
                self._leave()
            # An epoch may take longer than the time between two checkpoints; 0 asks for whole epochs.
            if self.work.checkpoint_seconds and done < self.batches.steps:
                self._save_if_due()
        return done - first

    def _check(self, loss: float, name: str) -> float:
        if math.isfinite(loss):
            return loss
        rate = self.work.train.optimizer.learning_rate
        now = rate if isinstance(rate, float) else rate.initial
        raise TrainingError(
            f"The {name} is {loss} in epoch {self.progress.epoch + 1}.",
            f"Try a smaller learning_rate (now {now:g}), bounds on outliers, or fewer units.",
        )

    def _tell(self, loss: float, validation: float) -> None:
        epochs = self.work.train.epochs
        self.events.send(
            EpochDone(
                epoch=self.progress.epoch,
                epochs=epochs,
                step=self.progress.step,
                loss=loss,
                validation_loss=validation,
                rows_per_second=self._pace.recent,
                seconds_left=(epochs - self.progress.epoch) * self._pace.epoch_seconds,
            )
        )

    def _save_if_due(self) -> None:
        waited = time.monotonic() - self._last_checkpoint
        if waited >= self.work.checkpoint_seconds:
            self._save()

    def _save(self) -> None:
        if self.is_chief:
            self.checkpoints.save(Snapshot(self.progress, self.loop.read() | {"best": self.best}))
        self._last_checkpoint = time.monotonic()

    def _leave(self) -> None:
        """Save at exactly this step; nobody goes before that is done."""
        self._save()
        self.loop.agree(0)
        self.events.send(Stopped(step=self.progress.step, epoch=self.progress.epoch))
        raise StoppedError(
            f"Stopped in epoch {self.progress.epoch + 1} after step {self.progress.step}.",
            "Start it again: it goes on from exactly there.",
        )


class _Pace:
    """How many steps go into a call, and how fast it all is.

    The number of steps follows from what the workers agreed on, so it is the same for all of them; it
    has no influence on any result.
    """

    def __init__(self) -> None:
        self.steps = 1  # the first call prepares the graph, which says nothing about speed
        self.seconds = 0.0
        self._calls = self._seen = 0
        self._last_steps = 0
        self._epochs: deque[tuple[int, float]] = deque(maxlen=5)
        self._all_rows, self._all_seconds = 0, 0.0

    def note_call(self, steps: int, seconds: float, agreed: float) -> None:
        """Note a call; `agreed` is the workers' mean for the call before."""
        self._calls += 1
        if self._calls > 2 and agreed > 0:  # the call before was not the first
            wanted = CALL_SECONDS * self._last_steps / agreed
            self.steps = max(1, min(MOST_STEPS, int(wanted), self.steps * 8))
        else:
            self.steps = 4
        self.seconds, self._last_steps = seconds, steps

    def note_epoch(self, rows: int, seconds: float) -> None:
        """Note an epoch; the first is slow, so it is forgotten when there is a second."""
        if not rows:
            return
        self._seen += 1
        if self._seen == 2:
            self._epochs.clear()
        self._epochs.append((rows, seconds))
        if self._seen > 1:
            self._all_rows += rows
            self._all_seconds += seconds

    @property
    def recent(self) -> float:
        """Rows per second over the last epochs."""
        return sum(r for r, _ in self._epochs) / max(1e-9, sum(s for _, s in self._epochs))

    @property
    def overall(self) -> float:
        """Rows per second over all epochs but the first."""
        if not self._all_seconds:
            return self.recent
        return self._all_rows / self._all_seconds

    @property
    def epoch_seconds(self) -> float:
        """Seconds of an epoch, lately."""
        return sum(s for _, s in self._epochs) / max(1, len(self._epochs))
