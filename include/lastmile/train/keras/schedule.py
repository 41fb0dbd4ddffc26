"""A learning-rate schedule that Keras reads from a table."""

from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf


class RateTable(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """One rate per step; after the last it stays."""

    def __init__(self, rates: npt.NDArray[np.float32]) -> None:
        self._rates = rates

    def __call__(self, step: Any) -> Any:
        """Return the rate of a step, counted from 0."""
        last = len(self._rates) - 1
        return tf.gather(tf.constant(self._rates), tf.minimum(tf.cast(step, tf.int64), last))

    def get_config(self) -> dict[str, Any]:
        """Return what `__init__` takes."""
        return {"rates": self._rates}
