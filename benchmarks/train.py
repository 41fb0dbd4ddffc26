"""The gang's training loop against a bare TensorFlow loop and against Keras' `fit`.

`python -m benchmarks.train`. Each contestant is a process (the gang of two: two) with the same Keras model,
the same rows, batch size and optimiser; after each epoch all of them validate. The gang's loop also does what
it does in a real training: row weights, checks of every loss, hearing SIGTERM, repeatable kernels. All train
in turns on the same cores, so that a busy moment of the machine meets all; each one's best round counts.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks._report import Goal, show_goals, show_table

from lastmile.pipeline.train import Train
from lastmile.train.examples import Examples
from lastmile.train.gang.cluster import VARIABLE, Cluster, free_addresses
from lastmile.train.gang.process import worker_environment
from lastmile.train.work import Work, read_examples

ROUNDS = 6
ROUND_SECONDS = 1.0


@dataclass(frozen=True)
class Case:
    """A model and its data."""

    name: str
    columns: int
    units: tuple[int, ...]
    batch: int
    rows: int


CASES = (
    Case("30 columns, 64-32-1, batches of 256", 30, (64, 32), 256, 51_200),
    Case("200 columns, 512-256-1, batches of 1024", 200, (512, 256), 1024, 51_200),
)


def write_work(case: Case, folder: Path) -> None:
    """Write the work folder that the supervisor would give to the gang."""
    random = np.random.default_rng(0)
    direction = random.normal(size=case.columns)

    def split(rows: int) -> Examples:
        features = random.normal(size=(rows, case.columns)).astype(np.float32)
        labels = (features @ direction > 0).astype(np.float32).reshape(-1, 1)
        return Examples(features, labels, np.ones(rows, np.float32))

    folder.mkdir()
    train = Train.model_validate(
        {"model": {"units": case.units}, "batch_size": case.batch, "epochs": 100_000,
         "early_stopping": None}
    )  # fmt: skip
    Work(
        pipeline="bench", task="binary", train=train, width=case.columns, outputs=1,
        store_url=f"file://{folder / 'store'}",
        cache=folder / "cache", checkpoints="checkpoints", checkpoint_seconds=1e9,
        barrier_seconds=60,
    ).write(folder, split(case.rows), split(case.rows // 5))  # fmt: skip


# The contestants: each returns a function that trains so many epochs


def gang(folder: Path) -> Callable[[int], None]:
    """The gang's worker, as `lastmile.train.gang.member` sets it up."""
    from lastmile.train.gang import barrier, member
    from lastmile.train.gang.events import EventWriter
    from lastmile.train.gang.lifeline import StopFlag
    from lastmile.train.gang.progress import Progress

    cluster, work = Cluster.from_environment(), Work.read(folder)
    data = read_examples(folder, "train"), read_examples(folder, "validation")
    strategy_of = member._load_tensorflow(work)
    barrier.meet(cluster, work.barrier_seconds)
    events = EventWriter(os.open(os.devnull, os.O_WRONLY))
    trainer = member._make_trainer(work, cluster, strategy_of(), *data, events, StopFlag())

    def train(epochs: int) -> None:
        settings = work.train.model_copy(update={"epochs": epochs})
        trainer.work = work.model_copy(update={"train": settings})
        trainer.progress = Progress()
        trainer.run()

    return train


def bare_parts(folder: Path) -> tuple[Work, Any, Any, Examples, Examples]:
    """Read the work folder; build its model and its optimiser, with no strategy around them."""
    from lastmile.train.keras.dropout import Place

    work = Work.read(folder)
    train, validation = read_examples(folder, "train"), read_examples(folder, "validation")
    model = work.train.model.build(work.width, work.outputs, work.train.seed, Place())
    optimizer = work.train.optimizer.build(1, work.train.epochs)
    return work, model, optimizer, train, validation


def bare(folder: Path) -> Callable[[int], None]:
    """The loop of TensorFlow's guide: `tf.data`, and a `tf.function` per step."""
    import keras
    import tensorflow as tf

    work, model, optimizer, train, validation = bare_parts(folder)
    loss_of = keras.losses.BinaryCrossentropy(from_logits=True)
    batch = work.train.batch_size
    batches = tf.data.Dataset.from_tensor_slices((train.features, train.labels))
    batches = batches.shuffle(len(train)).batch(batch).prefetch(tf.data.AUTOTUNE)
    checks = tf.data.Dataset.from_tensor_slices((validation.features, validation.labels))
    checks = checks.batch(batch).prefetch(tf.data.AUTOTUNE)

    @tf.function  # type: ignore[untyped-decorator]
    def step(features: Any, labels: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = loss_of(labels, model(features, training=True))
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return loss

    @tf.function  # type: ignore[untyped-decorator]
    def check(features: Any, labels: Any) -> Any:
        return loss_of(labels, model(features, training=False))

    def train_epochs(epochs: int) -> None:
        for _ in range(epochs):
            losses = [step(*data) for data in batches]
            found = [check(*data) for data in checks]
            float(tf.add_n(losses)), float(tf.add_n(found))

    return train_epochs


def bare_in_one_call(folder: Path) -> Callable[[int], None]:
    """The bare loop at its best: all rows in memory, and an epoch is one call of one `tf.function`."""
    import keras
    import tensorflow as tf

    work, model, optimizer, train, validation = bare_parts(folder)
    loss_of = keras.losses.BinaryCrossentropy(from_logits=True)
    features, labels = tf.constant(train.features), tf.constant(train.labels)
    check_features, check_labels = map(tf.constant, (validation.features, validation.labels))
    optimizer.build(model.trainable_variables)
    batch, random = work.train.batch_size, np.random.default_rng(0)

    @tf.function  # type: ignore[untyped-decorator]
    def epoch(order: Any) -> Any:
        total = 0.0
        for rows in order:
            with tf.GradientTape() as tape:
                outputs = model(tf.gather(features, rows), training=True)
                loss = loss_of(tf.gather(labels, rows), outputs)
            gradients = tape.gradient(loss, model.trainable_variables)
            optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
            total += loss
        found = 0.0
        for first in tf.range(0, len(validation), batch):
            outputs = model(check_features[first : first + batch], training=False)
            found += loss_of(check_labels[first : first + batch], outputs)
        return total, found

    def train_epochs(epochs: int) -> None:
        for _ in range(epochs):
            order = random.permutation(len(train)).astype(np.int32).reshape(-1, batch)
            float(epoch(order)[0])

    return train_epochs


def bare_repeatable(folder: Path) -> Callable[[int], None]:
    """The same with kernels that give the same result each time, as the gang has them."""
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(0)  # without a seed such kernels refuse to draw
    tf.config.experimental.enable_op_determinism()
    return bare_in_one_call(folder)


def fit(folder: Path) -> Callable[[int], None]:
    """Keras' own loop, with its defaults."""
    import keras

    work, model, optimizer, train, validation = bare_parts(folder)
    model.compile(optimizer, keras.losses.BinaryCrossentropy(from_logits=True))

    def train_epochs(epochs: int) -> None:
        model.fit(
            train.features, train.labels, batch_size=work.train.batch_size, epochs=epochs,
            validation_data=(validation.features, validation.labels), verbose=0,
        )  # fmt: skip

    return train_epochs


CONTESTANTS: dict[str, Callable[[Path], Callable[[int], None]]] = {
    "gang": gang, "bare": bare, "bare_in_one_call": bare_in_one_call,
    "bare_repeatable": bare_repeatable, "fit": fit,
}  # fmt: skip


def contest(name: str, folder: Path) -> None:
    """Be one contestant: read how many epochs to train, answer with the seconds, until the input ends."""
    train = CONTESTANTS[name](folder)
    train(2)  # traces, and warms up
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        began = time.perf_counter()
        train(int(line))
        print(json.dumps(time.perf_counter() - began), flush=True)


# How they take turns


@dataclass
class Contestant:
    """One way to train, as running processes; each works when it is told to."""

    label: str
    processes: list[subprocess.Popen[str]]
    seconds: list[float] = field(default_factory=list)
    """Per epoch, one value a round."""

    def wait_until_ready(self) -> None:
        for process in self.processes:
            _hear(process)

    def train(self, epochs: int) -> float:
        """Train so many epochs; return the seconds that the slowest process took."""
        for process in self.processes:
            assert process.stdin is not None
            process.stdin.write(f"{epochs}\n")
            process.stdin.flush()
        return max(float(_hear(process)) for process in self.processes)


def _hear(process: subprocess.Popen[str]) -> Any:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise SystemExit(f"A contestant ended with exit code {process.wait()}.")
    return json.loads(line)


@contextmanager
def started(label: str, name: str, folder: Path, workers: int = 1) -> Iterator[Contestant]:
    """Start a contestant's processes, on the cores that a gang of so many workers would have."""
    addresses = free_addresses(workers)
    processes = []
    for index in range(workers):
        environment = worker_environment(Cluster(addresses, index))
        if name != "gang":
            del environment[VARIABLE]
        if name in ("bare", "bare_in_one_call", "fit"):
            # Whoever does not promise the same model on every machine takes the faster kernels.
            del environment["TF_ENABLE_ONEDNN_OPTS"]
        command = [sys.executable, "-m", "benchmarks.train", "--contest", name]
        process = subprocess.Popen(
            [*command, "--folder", str(folder)], env=environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        processes.append(process)
    try:
        yield Contestant(label, processes)
    finally:
        for process in processes:
            process.kill()
            process.wait()


def measure(case: Case, folder: Path, rounds: int) -> list[Contestant]:
    """Let all contestants take turns; the first is the gang of one worker, the second the bare loop."""
    write_work(case, folder)
    entries = (
        ("gang, 1 worker", "gang", 1),
        ("bare loop, a call per step", "bare", 1),
        ("bare loop, a call per epoch", "bare_in_one_call", 1),
        ("the same with the gang's repeatable kernels", "bare_repeatable", 1),
        ("`model.fit`", "fit", 1),
        ("gang, 2 workers", "gang", 2),
    )
    with ExitStack() as stack:
        contestants = [
            stack.enter_context(started(label, name, folder, workers))
            for label, name, workers in entries
        ]
        for contestant in contestants:
            contestant.wait_until_ready()
        epochs = [max(1, round(ROUND_SECONDS / (c.train(2) / 2))) for c in contestants]
        for _ in range(rounds):
            for contestant, count in zip(contestants, epochs, strict=True):
                contestant.seconds.append(contestant.train(count) / count)
    return contestants


def show(case: Case, contestants: list[Contestant]) -> Goal:
    """Print a case's table; return the goal."""
    steps = case.rows // case.batch
    ours, bare_loop = contestants[0], contestants[1]
    rows = []
    for contestant in contestants:
        best = min(contestant.seconds)
        rows.append((contestant.label, f"{steps / best:.0f}", f"{case.rows / best:,.0f}",
                     f"{min(ours.seconds) / best:.2f}"))  # fmt: skip
    show_table((case.name, "steps/s", "rows/s", "speed, gang of 1 = 1"), rows)
    print()
    slower = min(ours.seconds) / min(bare_loop.seconds) - 1
    return Goal(f"more time than the bare loop, a call per step: {case.name}", slower, 0.05, "%")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--contest", choices=CONTESTANTS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    given = parser.parse_args()
    if given.contest:
        contest(given.contest, given.folder)
        return
    print(f"Steps per second with the validation after each epoch; best of {given.rounds} rounds of "
          f"{ROUND_SECONDS} s in turns. The batch is the global one, so two workers share it.\n")  # fmt: skip
    goals = []
    with tempfile.TemporaryDirectory() as scratch:
        for i, case in enumerate(CASES):
            goals.append(show(case, measure(case, Path(scratch, str(i)), given.rounds)))
    show_goals(*goals)


if __name__ == "__main__":
    main()
