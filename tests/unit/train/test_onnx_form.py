from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from lastmile.train.keras.onnx_form import canonical


def model(names: dict[str, str], reverse: bool = False, producer: str = "x") -> Any:
    """relu(features @ w) + relu(features @ w) @ v, in whatever names and order of constants."""
    n = {name: names.get(name, name) for name in ("in", "w", "v", "h", "r", "m", "out")}
    nodes = [
        helper.make_node("MatMul", [n["in"], n["w"]], [n["h"]], name="a"),
        helper.make_node("Relu", [n["h"]], [n["r"]], name="b"),
        helper.make_node("MatMul", [n["r"], n["v"]], [n["m"]], name="c"),
        helper.make_node("Add", [n["r"], n["m"]], [n["out"]], name="d"),
    ]
    constants = [
        numpy_helper.from_array(np.ones((3, 2), np.float32), n["w"]),
        numpy_helper.from_array(np.eye(2, dtype=np.float32), n["v"]),
        numpy_helper.from_array(np.zeros(9, np.float32), "unused"),
    ]
    graph = helper.make_graph(
        nodes,
        producer,
        [helper.make_tensor_value_info(n["in"], TensorProto.FLOAT, ["unk__7", 3])],
        [helper.make_tensor_value_info(n["out"], TensorProto.FLOAT, ["unk__9", 2])],
        constants[::-1] if reverse else constants,
    )
    opsets = [helper.make_opsetid("ai.onnx.ml", 2), helper.make_opsetid("", 15)]
    return helper.make_model(graph, producer_name=producer, opset_imports=opsets, ir_version=8)


def test_equal_graphs_give_equal_bytes_whatever_they_are_called() -> None:
    other = {"in": "x:0", "w": "kernel/Cast", "h": "functional_7_1/h", "out": "Identity:0"}
    assert canonical(model({})) == canonical(model(other, reverse=True, producer="tf2onnx"))


def test_input_and_output_have_fixed_names_and_any_number_of_rows() -> None:
    graph = onnx.load_from_string(canonical(model({"in": "x", "out": "y"}))).graph
    assert (
        onnx.printer.to_text(graph)
        .splitlines()[0]
        .startswith("lastmile (float[rows,3] features) => (float[rows,2] scores)")
    )
    assert len(graph.initializer) == 2


def test_it_answers_as_before() -> None:
    import onnxruntime

    features = np.array([[1, 2, 3], [-1, 0, -4]], dtype=np.float32)
    answers = [
        onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"]).run(
            None, {name: features}
        )[0]
        for content, name in (
            (model({}).SerializeToString(), "in"),
            (canonical(model({})), "features"),
        )
    ]
    np.testing.assert_array_equal(answers[0], answers[1])


def test_an_operator_that_onnx_does_not_know_is_refused() -> None:
    made = model({})
    made.graph.node[1].op_type = "Erfc"
    with pytest.raises(onnx.checker.ValidationError, match="Erfc"):
        canonical(made)
