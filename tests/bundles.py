"""Small ONNX bundles for tests: made with the `onnx` package in milliseconds, never trained."""

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from lastmile.bundle.signature import Signature, Task
from lastmile.features.schema import Column, ColumnKind, Schema
from lastmile.features.steps import Step
from lastmile.features.transform import Cleaning, Encoding, Transform


def write_bundle(
    folder: Path,
    *,
    name: str = "toy",
    task: Task = "regression",
    columns: tuple[Column, ...] = (Column("x", ColumnKind.NUMBER),),
    steps: tuple[Step, ...] = (),
    vocabularies: tuple[tuple[str, ...], ...] = (),
    classes: tuple[str, ...] | None = None,
    weights: np.ndarray | None = None,
    bias: float | list[float] = 0.0,
    width: int | None = None,
) -> Path:
    """Write a linear model: inputs @ weights + bias, then the task's activation.

    Args:
        folder: Where to; made if need be.
        name: Of the pipeline.
        task: Decides the activation and the outputs.
        columns: The inputs. Numbers are not scaled.
        steps: The cleaning.
        vocabularies: One per category column.
        classes: What the answers call the classes.
        weights: (width, outputs); ones where not given.
        bias: One, or one per output.
        width: What the ONNX model reads, where that shall differ from what the transform gives.
    """
    cleaning = Cleaning(Schema(columns), steps)
    numbers = len(cleaning.schema.numeric) + len(cleaning.flags)
    shares = tuple((1 / len(words),) * len(words) for words in vocabularies)
    encoding = Encoding((0.0,) * numbers, (1.0,) * numbers, vocabularies, shares)
    signature = Signature.of(name, task, cleaning.schema, classes)
    width = width or encoding.width
    if weights is None:
        weights = np.ones((width, signature.width), dtype=np.float32)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "transform.json").write_text(Transform(cleaning, encoding).to_json())
    (folder / "signature.json").write_text(signature.to_json())
    (folder / "model.onnx").write_bytes(_linear(weights, bias, task))
    return folder


def write_pointer(path: Path, bundle: Path, version: int = 1, name: str = "toy") -> Path:
    """Replace the pointer whole, as deploying does."""
    value = {"name": name, "version": version, "release": version + 10, "bundle": str(bundle)}
    part = path.with_suffix(".part")
    part.write_text(json.dumps(value))
    return part.replace(path)


def _linear(weights: np.ndarray, bias: float | list[float], task: Task) -> bytes:
    width, outputs = weights.shape
    shift = np.broadcast_to(np.float32(bias), (outputs,))
    activation = {"binary": "Sigmoid", "multiclass": "Softmax", "regression": "Identity"}[task]
    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["x", "w", "b"], ["z"]),
            helper.make_node(activation, ["z"], ["y"]),
        ],
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", width])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", outputs])],
        [
            numpy_helper.from_array(weights.astype(np.float32), "w"),
            numpy_helper.from_array(np.ascontiguousarray(shift, dtype=np.float32), "b"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return model.SerializeToString()
