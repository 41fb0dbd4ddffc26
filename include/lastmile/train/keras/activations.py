"""Activations by name, each in a form that ONNX knows."""

import math
from collections.abc import Callable
from typing import Any


def activation(name: str) -> str | Callable[[Any], Any]:
    """Return what a Keras layer takes. Keras writes gelu with Erfc, which ONNX lacks; here it is Erf."""
    return gelu if name == "gelu" else name


def gelu(x: Any) -> Any:
    """Return x (1 + erf(x / sqrt 2)) / 2 (Hendrycks & Gimpel 2016)."""
    import tensorflow as tf

    return 0.5 * x * (1.0 + tf.math.erf(x / math.sqrt(2.0)))
