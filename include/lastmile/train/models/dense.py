"""Model kind `dense`: fully connected layers."""

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, PositiveInt

from lastmile.pipeline.base import Strict

if TYPE_CHECKING:
    from lastmile.train.keras.dropout import Place


class Dense(Strict):
    """Fully connected layers with dropout and weight decay."""

    kind: Literal["dense"] = "dense"
    """Fully connected layers."""
    units: tuple[PositiveInt, ...] = (64, 32)
    """Width of each hidden layer; none gives a linear model."""
    activation: Literal["relu", "gelu", "tanh", "silu"] = "relu"
    """Of the hidden layers."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of each hidden layer's outputs put to 0 while training."""
    l2: float = Field(default=0.0, ge=0)
    """Weight of the squared weights in the loss."""

    def build(self, width: int, outputs: int, seed: int, place: "Place") -> Any:
        """Return the `keras.Model` from (rows, width) to (rows, outputs), the last layer linear.

        Args:
            width: Values per record.
            outputs: 1 for a binary task or a regression, else one per class.
            seed: Of the initial weights and of dropout.
            place: Where its rows stand in the global batch, for dropout.
        """
        import keras

        from lastmile.train.keras.activations import activation
        from lastmile.train.keras.dropout import PlacedDropout

        decay = keras.regularizers.L2(self.l2) if self.l2 else None
        hidden = inputs = keras.Input((width,), name="features")
        for number, units in enumerate(self.units):
            initial = (
                keras.initializers.GlorotUniform(_seed(seed, number))
                if self.activation == "tanh"
                else keras.initializers.HeUniform(_seed(seed, number))
            )
            hidden = keras.layers.Dense(
                units,
                activation=activation(self.activation),
                kernel_initializer=initial,
                kernel_regularizer=decay,
                name=f"hidden_{number}",
            )(hidden)
            if self.dropout:
                hidden = PlacedDropout(
                    self.dropout, seed=_seed(seed, number), place=place, name=f"dropout_{number}"
                )(hidden)
        outputs_layer = keras.layers.Dense(
            outputs,
            kernel_initializer=keras.initializers.GlorotUniform(_seed(seed, len(self.units))),
            kernel_regularizer=decay,
            name="outputs",
        )
        return keras.Model(inputs, outputs_layer(hidden))


def _seed(seed: int, layer: int) -> int:
    """Return a seed of its own for each layer."""
    return (seed * 1009 + layer * 9176 + 1) % 2**31
