"""Optimiser kind `adam` (Kingma & Ba 2015)."""

from typing import Any, Literal

from lastmile.pipeline.base import Strict
from lastmile.train.optimizers.schedules import LearningRate, learning_rate


class Adam(Strict):
    """Adam."""

    kind: Literal["adam"] = "adam"
    """Adam."""
    learning_rate: LearningRate = 0.001
    """A number, or a schedule."""

    def build(self, steps_per_epoch: int, epochs: int) -> Any:
        """Return the `keras.optimizers.Adam`."""
        import keras

        rate = learning_rate(self.learning_rate, steps_per_epoch, epochs)
        return keras.optimizers.Adam(rate)
