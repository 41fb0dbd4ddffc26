"""The `train` part of a pipeline file."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Discriminator, Field, PositiveInt, Tag

from lastmile.pipeline.base import Strict, kind_by_default
from lastmile.train.models.dense import Dense
from lastmile.train.optimizers.adam import Adam
from lastmile.train.optimizers.sgd import Sgd

Model = Dense
"""The kinds of models; with a second one this becomes a union told apart by `kind`."""
Optimizer = Annotated[
    Adam | Sgd, Field(discriminator="kind"), BeforeValidator(kind_by_default("adam"))
]
"""The kinds of optimisers; without a kind it is adam."""


def _form_of_weights(value: object) -> str:
    return "a word" if isinstance(value, str) else "weights"


ClassWeights = Annotated[
    Annotated[Literal["balanced"], Tag("a word")]
    | Annotated[dict[str, Annotated[float, Field(gt=0)]], Tag("weights")],
    Discriminator(_form_of_weights),
]


class EarlyStopping(Strict):
    """End when the validation loss no longer falls; the best weights are restored."""

    patience: PositiveInt = 5
    """Epochs without a better loss before the end."""
    min_delta: float = Field(default=0.0, ge=0)
    """How much better counts as better."""


class Train(Strict):
    """From a dataset to a bundle."""

    model: Model = Dense()
    """The model."""
    optimizer: Optimizer = Adam()
    """How its weights are fitted."""
    batch_size: PositiveInt = 256
    """Rows per step over all workers together: the same for any number of workers."""
    epochs: PositiveInt = 50
    """Passes over the training split, at most."""
    early_stopping: EarlyStopping | None = EarlyStopping()
    """When to end before; null: never."""
    class_weights: ClassWeights | None = None
    """How much a row of each class counts; balanced: each class as much as any other."""
    seed: int = Field(default=0, ge=0, lt=2**31)
    """Of the initial weights, the order of the rows and dropout."""
