"""The trainer over a loop that learns nothing: what is saved when, and what is done again."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lastmile.pipeline.train import Train
from lastmile.store import Store
from lastmile.train.batches import Batches
from lastmile.train.gang.checkpoint import Checkpoints
from lastmile.train.gang.events import EventWriter
from lastmile.train.gang.lifeline import StopFlag
from lastmile.train.gang.loop import Advance
from lastmile.train.gang.trainer import Trainer
from lastmile.train.work import Work

ROWS, BATCH = 640, 10


class KilledError(Exception):
    """What stands for a SIGKILL."""


class CountingLoop:
    """Its one weight is the number of steps done; dies before a call that would go beyond `last`."""

    def __init__(self, last: int | None = None) -> None:
        self.steps = 0
        self._last = last

    def advance(
        self, indices: Any, weights: Any, first_step: int, stop: bool, seconds: float
    ) -> Advance:
        assert first_step == self.steps
        if self._last is not None and self.steps + len(indices) > self._last:
            raise KilledError
        self.steps += len(indices)
        return Advance([1.0 / self.steps] * len(indices), stop, 0.25)

    def validate(self) -> float:
        return 1.0 / self.steps

    def agree(self, value: float) -> float:
        return value

    def read_weights(self) -> list[Any]:
        return [np.array([self.steps])]

    def read(self) -> dict[str, list[Any]]:
        return {"weights": self.read_weights(), "optimizer": []}

    def write(self, groups: dict[str, list[Any]]) -> None:
        self.steps = int(groups["weights"][0][0])


def make_trainer(folder: Path, loop: CountingLoop, checkpoint_seconds: float) -> Trainer:
    train = Train(batch_size=BATCH, epochs=3, early_stopping=None)
    store = Store(f"file://{folder / 'store'}", folder / "cache")
    work = Work(
        pipeline="toy", task="binary", train=train, width=1, outputs=1,
        store_url=store.url, cache=folder / "cache", checkpoints="checkpoints",
        checkpoint_seconds=checkpoint_seconds, barrier_seconds=1,
    )  # fmt: skip
    return Trainer(
        work=work,
        loop=loop,  # type: ignore[arg-type]
        batches=Batches(ROWS, BATCH, 1, 0, 0),
        row_weights=np.ones(ROWS, np.float32),
        checkpoints=Checkpoints(store, work.checkpoints),
        events=EventWriter(os.open(os.devnull, os.O_WRONLY)),
        stop=StopFlag(),
    )


@pytest.mark.parametrize(("checkpoint_seconds", "is_in_epoch"), [(1e-9, True), (0, False)])
def test_within_a_long_epoch_a_checkpoint_is_taken_when_it_is_due(
    tmp_path: Path, checkpoint_seconds: float, is_in_epoch: bool
) -> None:
    steps = ROWS // BATCH
    first = make_trainer(tmp_path, CountingLoop(last=steps + steps // 2), checkpoint_seconds)
    with pytest.raises(KilledError):
        first.run()
    assert 0 < len(first.progress.losses) < steps

    loop = CountingLoop()
    second = make_trainer(tmp_path, loop, checkpoint_seconds)
    second.restore()
    expected = first.progress.step if is_in_epoch else steps
    assert loop.steps == second.progress.step == expected
    second.run()
    assert loop.steps == 3 * steps
    assert len(second.progress.loss_curve) == 3
