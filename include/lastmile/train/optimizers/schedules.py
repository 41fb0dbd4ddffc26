"""Learning-rate schedules. Their length in steps follows from the data and the epochs."""

import math
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from lastmile.pipeline.base import Strict

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Rates = npt.NDArray[np.float32]

# NumPy is imported where it is used: every parse of a DAG reads this file.


class Cosine(Strict):
    """From `initial` down to `final` along half a cosine over all epochs (Loshchilov 2017)."""

    kind: Literal["cosine"]
    """Half a cosine."""
    initial: float = Field(gt=0)
    """At the first step."""
    final: float = Field(default=0.0, ge=0)
    """At the last step."""
    warmup_epochs: float = Field(default=0.0, ge=0)
    """Linear rise from 0 before it."""

    def rates(self, steps_per_epoch: int, epochs: int) -> "Rates":
        """Return the learning rate of every step.

        Over the first `w` steps the rate rises to `initial` in equal parts; then it is
        final + (initial - final) (1 + cos(pi t)) / 2 with t from 0 to 1 over the steps that remain.
        """
        import numpy as np

        total = steps_per_epoch * epochs
        warmup = min(total, round(self.warmup_epochs * steps_per_epoch))
        rise = self.initial * np.arange(1, warmup + 1) / max(1, warmup)
        t = np.linspace(0.0, 1.0, total - warmup)
        fall = self.final + (self.initial - self.final) * (1 + np.cos(math.pi * t)) / 2
        return np.concatenate([rise, fall]).astype(np.float32)


class Exponential(Strict):
    """Multiplied by `decay` once per epoch."""

    kind: Literal["exponential"]
    """Smaller by a factor per epoch."""
    initial: float = Field(gt=0)
    """At the first step."""
    decay: float = Field(gt=0, le=1)
    """The factor per epoch."""

    def rates(self, steps_per_epoch: int, epochs: int) -> "Rates":
        """Return the learning rate of every step, initial decay^(finished epochs)."""
        import numpy as np

        per_epoch = self.initial * self.decay ** np.arange(epochs)
        return np.repeat(per_epoch, steps_per_epoch).astype(np.float32)


def _form_of_rate(value: object) -> str:
    return "a schedule" if isinstance(value, (dict, Cosine, Exponential)) else "a number"


LearningRate = Annotated[
    Annotated[float, Field(gt=0), Tag("a number")]
    | Annotated[Cosine | Exponential, Field(discriminator="kind"), Tag("a schedule")],
    Discriminator(_form_of_rate),
]
"""A number, or one of the kinds of schedules."""


def learning_rate(setting: float | Cosine | Exponential, steps_per_epoch: int, epochs: int) -> Any:
    """Return what a Keras optimiser takes: the number, or the schedule as a table by step."""
    if isinstance(setting, float):
        return setting
    from lastmile.train.keras.schedule import RateTable

    return RateTable(setting.rates(steps_per_epoch, epochs))
