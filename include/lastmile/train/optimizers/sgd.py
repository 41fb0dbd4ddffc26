"""Optimiser kind `sgd`."""

from typing import Any, Literal

from pydantic import Field

from lastmile.pipeline.base import Strict
from lastmile.train.optimizers.schedules import LearningRate, learning_rate


class Sgd(Strict):
    """Stochastic gradient descent with momentum."""

    kind: Literal["sgd"]
    """Stochastic gradient descent."""
    learning_rate: LearningRate = 0.01
    """A number, or a schedule."""
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """How much of the last step goes on."""
    nesterov: bool = False
    """Nesterov's form of momentum."""

    def build(self, steps_per_epoch: int, epochs: int) -> Any:
        """Return the `keras.optimizers.SGD`."""
        import keras

        rate = learning_rate(self.learning_rate, steps_per_epoch, epochs)
        return keras.optimizers.SGD(rate, momentum=self.momentum, nesterov=self.nesterov)
