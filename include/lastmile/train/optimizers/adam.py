"""Optimiser kind `adam` (Kingma & Ba 2015)."""

from typing import Annotated, Any, Literal

from pydantic import Field

from lastmile.pipeline.base import Strict
from lastmile.train.optimizers.schedules import Cosine, Exponential, learning_rate


class Adam(Strict):
    """Adam."""

    kind: Literal["adam"] = "adam"
    """Adam."""
    learning_rate: Annotated[float, Field(gt=0)] | Cosine | Exponential = 0.001
    """A number, or a schedule."""

    def build(self, steps_per_epoch: int, epochs: int) -> Any:
        """Return the `keras.optimizers.Adam`."""
        import keras

        rate = learning_rate(self.learning_rate, steps_per_epoch, epochs)
        return keras.optimizers.Adam(rate)
