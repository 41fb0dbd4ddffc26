"""What a task minimises, and the last layer that turns its outputs into answers."""

from typing import Any

import tensorflow as tf


def losses_of(task: str, labels: Any, outputs: Any) -> Any:
    """Return the loss per row, (rows,): cross-entropy of logits, or the squared error.

    Args:
        task: binary, multiclass or regression.
        labels: (rows, 1)
        outputs: (rows, outputs), of the linear last layer.
    """
    if task == "binary":
        return tf.nn.sigmoid_cross_entropy_with_logits(labels, outputs)[:, 0]
    if task == "multiclass":
        classes = tf.one_hot(tf.cast(labels[:, 0], tf.int32), outputs.shape[-1])
        return tf.nn.softmax_cross_entropy_with_logits(classes, outputs)
    return tf.square(outputs - labels)[:, 0]


def answering(model: Any, task: str) -> Any:
    """Return the model with its answers as output: probabilities, or the standardised target."""
    import keras

    if task == "regression":
        return model
    activation = {"binary": "sigmoid", "multiclass": "softmax"}[task]
    return keras.Model(model.input, keras.layers.Activation(activation)(model.output))
