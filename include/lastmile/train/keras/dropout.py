"""Dropout that does not depend on how many workers share a batch."""

from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf


@dataclass
class Place:
    """Where a worker's rows stand in the global batch, and at which step training is."""

    batch: int = 0
    """Rows of a global batch."""
    share: int = 0
    """Rows of it per worker."""
    worker: int = 0
    step: Any = None
    """A scalar tensor of the graph being traced."""

    def rows_of(self, mask: Any) -> Any:
        """Cut this worker's rows out of a mask over the global batch."""
        first = self.worker * self.share
        beyond = max(0, first + self.share - self.batch)  # a share that runs over the batch's end
        return tf.pad(mask, [[0, beyond], [0, 0]])[first : first + self.share]


class PlacedDropout(keras.layers.Layer):  # type: ignore[misc]
    """Puts a share of its inputs to 0 while training, and scales the others up.

    The mask is a function of seed, step and the row's position in the global batch alone: every worker
    draws it for the whole batch and takes its own rows. So 1, 2 and 4 workers train the same model,
    and a resumed training goes on as if nothing had happened.
    """

    def __init__(self, rate: float, seed: int, place: Place, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._rate = rate
        self._seed = seed
        self._place = place

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Drop while training, else hand through."""
        if not training:
            return inputs
        step = tf.cast(self._place.step, tf.int64)
        drawn = tf.random.stateless_uniform(
            (self._place.batch, inputs.shape[-1]),
            seed=tf.stack([tf.constant(self._seed, tf.int64), step]),
            alg="philox",
        )
        kept = tf.cast(drawn >= self._rate, inputs.dtype)
        return inputs * self._place.rows_of(kept) / (1.0 - self._rate)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of what comes in."""
        return input_shape
