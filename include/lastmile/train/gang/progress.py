"""How far a training is: everything but the weights that it takes to go on exactly here."""

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from lastmile.pipeline.train import Train


@dataclass
class Progress:
    """Counts, curves and the state of early stopping."""

    step: int = 0
    """Finished steps in all."""
    epoch: int = 0
    """Finished epochs; an epoch is finished when it was validated."""
    losses: list[float] = field(default_factory=list)
    """The loss of each finished step of the epoch that is under way."""
    loss_curve: list[float] = field(default_factory=list)
    validation_curve: list[float] = field(default_factory=list)
    best_epoch: int = 0
    """Counted from 1; 0 before the first epoch is finished."""
    waited: int = 0
    """Epochs since the best one."""

    @property
    def best_loss(self) -> float:
        """The least validation loss so far, infinite before the first epoch."""
        return self.validation_curve[self.best_epoch - 1] if self.best_epoch else math.inf

    def advance(self, losses: list[float]) -> None:
        """Note finished steps by their losses."""
        self.step += len(losses)
        self.losses += losses

    def finish_epoch(self, loss: float, validation_loss: float, train: Train) -> bool:
        """Close the epoch under way, whose steps are all done; return whether it is the best so far."""
        least = train.early_stopping.min_delta if train.early_stopping else 0.0
        is_best = validation_loss < self.best_loss - least
        self.loss_curve.append(loss)
        self.validation_curve.append(validation_loss)
        self.losses = []
        self.epoch += 1
        self.waited = 0 if is_best else self.waited + 1
        if is_best:
            self.best_epoch = self.epoch
        return is_best

    def is_over(self, train: Train) -> bool:
        """Whether all epochs are done, or the validation loss has not fallen for too long."""
        stopping = train.early_stopping
        return self.epoch >= train.epochs or (
            stopping is not None and self.waited >= stopping.patience
        )

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Progress":
        """Read it back."""
        return cls(**value)
