"""The compiled loop: several steps per call over an unmodified Keras model and optimiser.

Keras 3's `fit` fails under MultiWorkerMirroredStrategy (keras#20585), so the loop is our own. Keras'
optimiser sums gradients over the workers itself; the loss is therefore divided by the rows of the
global batch, and the penalty on weights by the number of workers.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from lastmile.train.batches import Batches, Indices, Weights
from lastmile.train.examples import Examples
from lastmile.train.gang.objective import losses_of
from lastmile.train.keras.dropout import Place
from lastmile.train.work import Work

NOTES = 2
"""What workers agree on besides losses: whether to stop, and seconds of the call before."""


@dataclass(frozen=True)
class Advance:
    """What one call brought, equal on all workers."""

    losses: list[float]
    """The mean loss of each step's global batch."""
    stop: bool
    """Whether any worker was asked to stop."""
    seconds: float
    """Mean over the workers of the seconds that each gave for its call before this."""


class Loop:
    """Model, optimiser and data of one worker, and the calls that move them on together."""

    def __init__(
        self,
        strategy: Any,
        work: Work,
        batches: Batches,
        validation_batches: Batches,
        train: Examples,
        validation: Examples,
    ) -> None:
        place = Place(batches.batch, batches.share, batches.worker)
        with strategy.scope():
            self.model = work.train.model.build(work.width, work.outputs, work.train.seed, place)
            self.optimizer = work.train.optimizer.build(batches.steps, work.train.epochs)
            self.optimizer.build(self.model.trainable_variables)
        self._strategy = strategy
        self._workers = batches.workers
        self._total = _compile_sum(strategy)
        self._validation_rows = validation_batches.rows
        self._validation_layout = validation_batches.in_order()
        self._advance = _compile_advance(strategy, self, work.task, place, train, batches.share)
        self._validate = _compile_validate(
            strategy, self.model, work.task, validation, validation_batches.share
        )
        self._warm_up(batches.share)

    def _warm_up(self, share: int) -> None:
        """Trace and prepare the graphs now, with no step, so that their cost is no step's."""
        none = np.zeros((0, share), dtype=np.int32)
        self.advance(none, none.astype(np.float32), 0, stop=False, seconds=0.0)
        indices, weights = self._validation_layout
        self._validate(indices[:1], weights[:1])

    def advance(
        self, indices: Indices, weights: Weights, first_step: int, stop: bool, seconds: float
    ) -> Advance:
        """Do a step per row of `indices`, on all workers at once.

        Args:
            indices: This worker's rows, (steps, share).
            weights: What each counts, divided by the rows of the global batch; same shape.
            first_step: How many steps were finished before.
            stop: Whether this worker was asked to stop.
            seconds: What this worker's call before took.
        """
        notes = np.array([stop, seconds / self._workers], dtype=np.float32)
        reduced = self._advance(indices, weights, np.int64(first_step), notes).numpy()
        return Advance(
            reduced[NOTES:].astype(np.float64).tolist(), bool(reduced[0] > 0), float(reduced[1])
        )

    def validate(self) -> float:
        """Return the mean loss over the whole validation split, equal on all workers."""
        sums = self._validate(*self._validation_layout).numpy().astype(np.float64)
        return math.fsum(sums) / self._validation_rows

    def agree(self, value: float) -> float:
        """Return the sum of every worker's value; all have come here when it returns."""
        return float(self._total(np.float64(value)).numpy())

    def read_weights(self) -> list[npt.NDArray[Any]]:
        """Return the model's weights in Keras' own order."""
        return [np.asarray(v) for v in self.model.get_weights()]

    def read(self) -> dict[str, list[npt.NDArray[Any]]]:
        """Return the values of weights and optimiser, each in Keras' own order."""
        return {
            "weights": self.read_weights(),
            "optimizer": [np.asarray(v) for v in self.optimizer.variables],
        }

    def write(self, groups: dict[str, list[npt.NDArray[Any]]]) -> None:
        """Put the values back that `read` gave."""
        with self._strategy.scope():
            self.model.set_weights(groups["weights"])
            for variable, value in zip(self.optimizer.variables, groups["optimizer"], strict=True):
                variable.assign(value)


def _compile_advance(
    strategy: Any, loop: Loop, task: str, place: Place, train: Examples, share: int
) -> Any:
    features, labels = tf.constant(train.features), tf.constant(train.labels)
    model, optimizer, workers = loop.model, loop.optimizer, float(strategy.num_replicas_in_sync)

    def step(rows: Any, weights: Any, number: Any) -> Any:
        place.step = number  # while the graph is traced, so dropout reads this graph's tensor
        with tf.GradientTape() as tape:
            outputs = model(tf.gather(features, rows), training=True)
            loss = tf.reduce_sum(losses_of(task, tf.gather(labels, rows), outputs) * weights)
            penalty = tf.add_n(model.losses) / workers if model.losses else 0.0
            total = loss + penalty
        gradients = tape.gradient(total, model.trainable_variables)
        optimizer.apply(gradients, model.trainable_variables)
        return loss

    def advance(indices: Any, weights: Any, first: Any, notes: Any) -> Any:
        count = tf.shape(indices)[0]

        def body(i: Any, losses: Any) -> Any:
            number = first + tf.cast(i, tf.int64)
            return i + 1, losses.write(i, strategy.run(step, args=(indices[i], weights[i], number)))

        _, losses = tf.while_loop(
            lambda i, _: i < count,
            body,
            (0, tf.TensorArray(tf.float32, size=count, element_shape=())),
            parallel_iterations=1,  # the workers' collectives must come in one order
        )
        return strategy.run(_sum, args=(tf.concat([notes, losses.stack()], 0),))

    signature = [
        tf.TensorSpec((None, share), tf.int32),
        tf.TensorSpec((None, share), tf.float32),
        tf.TensorSpec((), tf.int64),
        tf.TensorSpec((NOTES,), tf.float32),
    ]
    return tf.function(advance, input_signature=signature, autograph=False)


def _compile_validate(
    strategy: Any, model: Any, task: str, validation: Examples, share: int
) -> Any:
    features, labels = tf.constant(validation.features), tf.constant(validation.labels)

    def batch_loss(rows: Any, weights: Any) -> Any:
        outputs = model(tf.gather(features, rows), training=False)
        return tf.reduce_sum(losses_of(task, tf.gather(labels, rows), outputs) * weights)

    def validate(indices: Any, weights: Any) -> Any:
        count = tf.shape(indices)[0]
        _, sums = tf.while_loop(
            lambda i, _: i < count,
            lambda i, sums: (
                i + 1,
                sums.write(i, strategy.run(batch_loss, args=(indices[i], weights[i]))),
            ),
            (0, tf.TensorArray(tf.float32, size=count, element_shape=())),
            parallel_iterations=1,
        )
        return strategy.run(_sum, args=(sums.stack(),))

    signature = [
        tf.TensorSpec((None, share), tf.int32),
        tf.TensorSpec((None, share), tf.float32),
    ]
    return tf.function(validate, input_signature=signature, autograph=False)


def _compile_sum(strategy: Any) -> Any:
    def total(value: Any) -> Any:
        return strategy.run(_sum, args=(value,))

    signature = [tf.TensorSpec((), tf.float64)]
    return tf.function(total, input_signature=signature, autograph=False)


def _sum(value: Any) -> Any:
    """Sum over the workers. The identity gives the value a device, which the collective needs."""
    return tf.distribute.get_replica_context().all_reduce("SUM", tf.identity(value))
