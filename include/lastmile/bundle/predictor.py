"""The one predictor: evaluation, golden predictions, smoke test and server all answer through it."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from lastmile.bundle.signature import Signature
from lastmile.errors import ArtefactError
from lastmile.features.schema import Batch
from lastmile.features.transform import Transform

Content = TypeVar("Content")
Scores = npt.NDArray[np.floating[Any]]

MODEL, TRANSFORM, SIGNATURE = "model.onnx", "transform.json", "signature.json"


@dataclass(frozen=True)
class Predictor:
    """A loaded bundle. Safe to call from several threads."""

    signature: Signature
    transform: Transform
    session: Any
    """An `onnxruntime.InferenceSession`."""

    @classmethod
    def load(cls, folder: Path, threads: int = 1) -> "Predictor":
        """Load a bundle from a folder.

        Raises:
            ArtefactError: A file is missing, is not what it should be, or does not fit the others.
        """
        signature = _read(folder / SIGNATURE, Signature.from_json)
        transform = _read(folder / TRANSFORM, Transform.from_json)
        session = _read(folder / MODEL, lambda content: _open_session(content, threads))
        predictor = cls(signature, transform, session)
        predictor._refuse_mismatch(folder)
        return predictor

    def scores(self, features: npt.NDArray[np.float32]) -> Scores:
        """Score encoded records: probabilities, or the target in its own unit; (rows, outputs)."""
        outputs = self.outputs(features)
        return self.transform.target(outputs) if self.signature.task == "regression" else outputs

    def outputs(self, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Run the model itself on encoded records: (rows, width) to (rows, outputs)."""
        input_name, output_names = self._names
        result: npt.NDArray[np.float32] = self.session.run(output_names, {input_name: features})[0]
        return result.reshape(len(features), -1)

    @cached_property
    def _names(self) -> tuple[str, list[str]]:
        return self.session.get_inputs()[0].name, [self.session.get_outputs()[0].name]

    def score_batch(self, batch: Batch) -> Scores:
        """Clean, encode and run parsed records.

        Raises:
            lastmile.features.schema.RecordError: A record cannot be used.
        """
        return self.scores(self.transform.encode(batch))

    def predict(self, records: Sequence[Any]) -> list[dict[str, Any]]:
        """Answer records, one mapping from output name to value for each.

        Raises:
            lastmile.features.schema.RecordError: A record cannot be used.
        """
        return self.answers(self.scores(self.transform(records)))

    def answers(self, scores: Scores) -> list[dict[str, Any]]:
        """Turn scores into answers."""
        signature, classes = self.signature, self.signature.classes
        values = scores.tolist()
        if signature.task == "regression" or classes is None:
            return [{"value": row[0]} for row in values]
        if signature.task == "binary":
            threshold = signature.decision_threshold
            return [
                {"label": classes[row[0] >= threshold], "probability": row[0]} for row in values
            ]
        return [
            {"label": classes[max(range(len(row)), key=row.__getitem__)], "probabilities": row}
            for row in values
        ]

    def _refuse_mismatch(self, folder: Path) -> None:
        """Compare what the three files say of each other."""
        signature, schema = self.signature, self.transform.schema
        columns = tuple(tensor.name for tensor in signature.inputs)
        if columns != schema.names:
            raise _unusable(folder, f"the signature names {columns}, the transform {schema.names}")
        expected_classes = {"binary": 2, "regression": 0}.get(signature.task)
        found_classes = len(signature.classes or ())
        if expected_classes is not None and found_classes != expected_classes:
            raise _unusable(folder, f"a {signature.task} task with {found_classes} classes")
        for side, tensors, width in (
            ("reads", self.session.get_inputs(), self.transform.encoding.width),
            ("gives", self.session.get_outputs(), signature.width),
        ):
            shape = tensors[0].shape
            if len(shape) != 2 or (isinstance(shape[1], int) and shape[1] != width):
                raise _unusable(
                    folder, f"the model {side} {shape} where (rows, {width}) is expected"
                )
            if tensors[0].type != "tensor(float)":
                raise _unusable(folder, f"the model {side} {tensors[0].type}, not float32")


def _read(path: Path, parse: Callable[[bytes], Content]) -> Content:
    try:
        return parse(path.read_bytes())
    except OSError as error:
        raise _unusable(path.parent, f"{path.name} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise _unusable(path.parent, f"{path.name}: {error}") from error


def _unusable(folder: Path, reason: str) -> ArtefactError:
    return ArtefactError(
        f"The bundle {folder} cannot be used: {reason}.",
        "Train again with --force; a bundle's three files come from one training.",
    )


def _open_session(content: bytes, threads: int) -> Any:
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read at import; it would call home
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime's own errors share no other base class
        raise ValueError(f"no ONNX model that this runtime can load: {error}") from error
