"""The one form of an ONNX graph: equal models give equal bytes.

Converters name values by counters and sort by chance. Here nodes stand in the order in which the output
needs them, values are called by operator and position, and nothing tells of the converter.
"""

from typing import Any

INPUT, OUTPUT, ROWS = "features", "scores", "rows"


def canonical(model: Any) -> bytes:
    """Return an `onnx.ModelProto` with one input and one output in its one form, serialised.

    Raises:
        ValueError: The graph has more inputs or outputs, or control flow.
    """
    import onnx

    graph = model.graph
    if len(graph.input) != 1 or len(graph.output) != 1:
        raise ValueError("expected one input and one output")
    order = _Order(graph)
    order.visit(graph.output[0].name)
    names = order.names
    made = onnx.helper.make_graph(
        [_rename(node, names) for node in order.nodes],
        "lastmile",
        [_tensor(graph.input[0], INPUT)],
        [_tensor(graph.output[0], OUTPUT)],
        [_named(order.constants[name], names[name]) for name in order.used],
    )
    opset = next(o for o in model.opset_import if not o.domain)
    result = onnx.helper.make_model(
        made,
        producer_name="lastmile",
        ir_version=model.ir_version,
        opset_imports=[onnx.helper.make_opsetid("", opset.version)],
    )
    onnx.checker.check_model(result, full_check=True)
    content: bytes = result.SerializeToString(deterministic=True)
    return content


class _Order:
    """Depth first from the output: each node after those it needs."""

    def __init__(self, graph: Any) -> None:
        self.constants = {constant.name: constant for constant in graph.initializer}
        self.nodes: list[Any] = []
        self.used: list[str] = []
        self.names = {"": "", graph.input[0].name: INPUT}
        self._output = graph.output[0].name
        self._makers = {name: node for node in graph.node for name in node.output}

    def visit(self, name: str) -> None:
        if name in self.names:
            return
        if name in self.constants:
            self.names[name] = f"constant_{len(self.used)}"
            self.used.append(name)
            return
        node = self._makers[name]
        for needed in node.input:
            self.visit(needed)
        for index, made in enumerate(node.output):
            own = f"{node.op_type.lower()}_{len(self.nodes)}" + (f"_{index}" if index else "")
            self.names[made] = OUTPUT if made == self._output else own
        self.nodes.append(node)


def _rename(node: Any, names: dict[str, str]) -> Any:
    import onnx

    if any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute):
        raise ValueError(f"control flow ({node.op_type}) is not supported")
    made = onnx.NodeProto(op_type=node.op_type, domain=node.domain, name=names[node.output[0]])
    made.input.extend(names[name] for name in node.input)
    made.output.extend(names[name] for name in node.output)
    made.attribute.extend(sorted(node.attribute, key=lambda attribute: str(attribute.name)))
    return made


def _tensor(value: Any, name: str) -> Any:
    """Describe an input or output: any number of rows, the width as it is."""
    import onnx

    dims = value.type.tensor_type.shape.dim
    shape = [ROWS, *(dim.dim_value for dim in list(dims)[1:])]
    return onnx.helper.make_tensor_value_info(name, value.type.tensor_type.elem_type, shape)


def _named(constant: Any, name: str) -> Any:
    import onnx

    made = onnx.TensorProto()
    made.CopyFrom(constant)
    made.name = name
    return made
