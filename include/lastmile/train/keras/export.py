"""From a Keras model to the bundle's ONNX model, and the proof that both answer the same."""

import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lastmile.bundle.predictor import MODEL, Predictor
from lastmile.errors import TrainingError
from lastmile.train.keras.onnx_form import canonical

TOLERANCE = 1e-5
SAMPLE_ROWS = 1024


def export_model(model: Any, folder: Path) -> None:
    """Write a called Keras model, (rows, width) to (rows, outputs), as the bundle's model.

    Raises:
        TrainingError: It holds something that ONNX has no word for.
    """
    import onnx

    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / MODEL
        with warnings.catch_warnings():
            # Keras 3.15 asks numpy whether it still has `object`, to patch tf2onnx.
            warnings.filterwarnings("ignore", "In the future `np.object`", FutureWarning)
            model.export(str(path), format="onnx", verbose=False)
        try:
            content = canonical(onnx.load(path))
        except (ValueError, onnx.checker.ValidationError) as error:
            raise TrainingError(
                f"The model cannot be written as ONNX: {error}",
                "Choose a model or an activation that ONNX knows.",
            ) from error
    (folder / MODEL).write_bytes(content)


def check_bundle(model: Any, folder: Path, features: npt.NDArray[np.float32]) -> float:
    """Compare the bundle's outputs with Keras' on encoded rows; return the greatest difference.

    Args:
        model: The Keras model that was exported.
        folder: The whole bundle; it is loaded by the predictor that evaluation and server use.
        features: (rows, width); a sample of them is taken.

    Raises:
        TrainingError: They differ by more than 1e-5, or 1e-5 of the output if that is greater than 1.
    """
    sample = features[:: max(1, len(features) // SAMPLE_ROWS)][:SAMPLE_ROWS]
    expected = np.asarray(model(sample, training=False), dtype=np.float64)
    answered = Predictor.load(folder).outputs(sample).astype(np.float64)
    if expected.shape != answered.shape or not np.isfinite(answered).all():
        raise TrainingError(
            f"The exported model answers {answered.shape} where Keras answers {expected.shape}, "
            "or not with numbers.",
            "This is a fault of the export; please report it with the pipeline file.",
        )
    allowed = TOLERANCE * np.maximum(1.0, np.abs(expected))
    difference = np.abs(answered - expected)
    if (difference > allowed).any():
        raise TrainingError(
            f"The exported model's answers differ from Keras' by up to {difference.max():.2g} on "
            f"{len(sample)} validation rows; allowed is {TOLERANCE:g}.",
            "This is a fault of the export; please report it with the pipeline file.",
        )
    return float(difference.max())
