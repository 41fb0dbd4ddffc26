"""The Open Inference Protocol, version 2, over HTTP, with the binary tensor data extension.

https://github.com/kserve/open-inference-protocol and Triton's extension_binary_data.md. Every column is
one input tensor, every output of the signature one output tensor.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

from flask import Blueprint, Response, request

from lastmile.bundle.signature import Signature, Tensor
from lastmile.features.schema import RecordError, Schema
from lastmile.serve.answer import columns_of_answers, records_of_columns, refuse_count
from lastmile.serve.body import parse_json, read_body
from lastmile.serve.errors import RequestError
from lastmile.serve.health import readiness
from lastmile.serve.service import Service, respond
from lastmile.serve.tensors import ACCEPTED, DATATYPE_OF, decode, encode, flatten, parse_shape

HEADER_LENGTH = "Inference-Header-Content-Length"
"""Where binary tensors follow the JSON, the length of the JSON."""


@dataclass(frozen=True, slots=True)
class Request:
    """An inference request, read."""

    id: str | None
    columns: dict[str, list[Any]]
    outputs: dict[str, bool]
    """The outputs asked for, and whether each as bytes."""


def build_blueprint(service: Service) -> Blueprint:
    """Build the endpoints below `/v2`."""
    blueprint = Blueprint("open_inference", __name__, url_prefix="/v2")
    model_routes = ("/models/<name>", "/models/<name>/versions/<version>")

    def describe_server() -> Response:
        from importlib.metadata import version

        extensions = ["binary_tensor_data"]
        return respond(
            {"name": "lastmile", "version": version("lastmile"), "extensions": extensions}
        )

    def live() -> Response:
        return respond({"live": True})

    def ready() -> Response:
        _, status = readiness(service)
        return respond({"ready": status == 200}, status)

    def describe(name: str, version: str | None = None) -> Response:
        model = service.take_named(name, version)
        return respond(describe_model(model.predictor.signature, name, model.version))

    def model_ready(name: str, version: str | None = None) -> Response:
        service.take_named(name, version)
        return respond({"name": name, "ready": True})

    def infer(name: str, version: str | None = None) -> Response:
        model = service.take_named(name, version)
        asked = parse_request(
            read_body(request, service.limits.max_body_bytes),
            request.headers.get(HEADER_LENGTH),
            model.predictor.transform.schema,
            model.predictor.signature,
            service.limits.max_rows,
        )
        answers = columns_of_answers(service.answer(model, records_of_columns(asked.columns)))
        head: dict[str, Any] = {"model_name": name, "model_version": str(model.version)}
        if asked.id is not None:
            head["id"] = asked.id
        return _respond_tensors(head, answers, asked, model.predictor.signature)

    blueprint.get("", strict_slashes=False)(describe_server)
    blueprint.get("/health/live")(live)
    blueprint.get("/health/ready")(ready)
    for route in model_routes:
        blueprint.get(route)(describe)
        blueprint.get(f"{route}/ready")(model_ready)
        blueprint.post(f"{route}/infer")(infer)
    return blueprint


def describe_model(signature: Signature, name: str, version: int) -> dict[str, Any]:
    """Return the metadata of a model."""
    return {
        "name": name,
        "versions": [str(version)],
        "platform": "onnx_onnxv1",
        "inputs": [_describe(tensor) for tensor in signature.inputs],
        "outputs": [_describe(tensor) for tensor in signature.outputs],
    }


def _describe(tensor: Tensor) -> dict[str, Any]:
    return {
        "name": tensor.name,
        "datatype": DATATYPE_OF[tensor.type],
        "shape": list(tensor.shape),
    }


def parse_request(
    content: bytes, header_length: str | None, schema: Schema, signature: Signature, max_rows: int
) -> Request:
    """Read an inference request.

    Raises:
        RequestError: It breaks the protocol, or asks for what the model does not give.
        RecordError: A column that the model does not read.
    """
    head, tail = _split(content, header_length)
    body = parse_json(head)
    if not isinstance(body, dict):
        raise RequestError("The inference request is no JSON object.")
    request_id = body.get("id")
    if request_id is not None and not isinstance(request_id, str):
        raise RequestError("The request's id is no text.")
    parameters = _parameters(body)
    columns = _parse_inputs(body.get("inputs"), tail, schema, max_rows)
    binary = parameters.get("binary_data_output") is True
    return Request(request_id, columns, _parse_outputs(body.get("outputs"), signature, binary))


def _split(content: bytes, header_length: str | None) -> tuple[bytes, memoryview]:
    """Part the JSON from the binary tensors behind it."""
    if header_length is None:
        return content, memoryview(b"")
    if not (header_length.isascii() and header_length.isdigit() and len(header_length) < 20):
        raise RequestError(f"{HEADER_LENGTH} is {header_length[:40]!r}, not a number.")
    length = int(header_length)
    if length > len(content):
        raise RequestError(
            f"{HEADER_LENGTH} is {length}, but the body has only {len(content)} bytes."
        )
    return content[:length], memoryview(content)[length:]


def _parse_inputs(
    inputs: Any, tail: memoryview, schema: Schema, max_rows: int
) -> dict[str, list[Any]]:
    if not isinstance(inputs, list) or not inputs:
        raise RequestError("The request has no list of `inputs`.", "Send one tensor per column.")
    kinds = {column.name: column.kind for column in schema.columns}
    columns: dict[str, list[Any]] = {}
    rows: int | None = None
    for tensor in inputs:
        name, datatype = _name_of(tensor, "input"), tensor.get("datatype")
        if name not in kinds:
            raise RecordError(
                0, name[:80], f"unknown; the model reads {', '.join(schema.names[:40])}"
            )
        if name in columns:
            raise RequestError(f"Input {name!r} stands there twice.", column=name)
        accepted = ACCEPTED[kinds[name]]
        if datatype not in accepted:
            raise RequestError(
                f"Input {name!r} has the datatype {datatype!r:.40}.",
                f"Column {name!r} is read from {', '.join(accepted)}.",
                column=name,
            )
        count = parse_shape(name, tensor.get("shape"))
        if rows is not None and count != rows:
            raise RequestError(
                f"Input {name!r} has {count} records where the others have {rows}.", column=name
            )
        refuse_count(count, max_rows)
        rows = count
        columns[name], tail = _values(tensor, name, datatype, count, tail)
    if len(tail):
        raise RequestError(f"{len(tail)} bytes follow the last binary tensor.")
    return columns


def _values(
    tensor: Mapping[str, Any], name: str, datatype: str, count: int, tail: memoryview
) -> tuple[list[Any], memoryview]:
    """Return a tensor's values, and what of the binary data is left after it."""
    size = _parameters(tensor).get("binary_data_size")
    if size is None:
        return flatten(name, tensor.get("data"), count), tail
    if type(size) is not int or not 0 <= size <= len(tail):
        raise RequestError(
            f"Input {name!r} has a binary_data_size of {size!r:.40}, of {len(tail)} bytes left.",
            column=name,
        )
    if "data" in tensor:
        raise RequestError(f"Input {name!r} has both data and binary data.", column=name)
    return decode(name, datatype, bytes(tail[:size]), count), tail[size:]


def _parse_outputs(outputs: Any, signature: Signature, binary: bool) -> dict[str, bool]:
    known = [tensor.name for tensor in signature.outputs]
    if outputs is None or outputs == []:
        return dict.fromkeys(known, binary)
    if not isinstance(outputs, list):
        raise RequestError("`outputs` is no list.")
    asked: dict[str, bool] = {}
    for output in outputs:
        name, parameters = _name_of(output, "output"), _parameters(output)
        if name not in known:
            raise RequestError(
                f"The model has no output {name[:80]!r}.", f"It has {', '.join(known)}."
            )
        if parameters.get("classification"):
            raise RequestError("The classification extension is not spoken here.")
        asked[name] = bool(parameters.get("binary_data", binary))
    return asked


def _name_of(tensor: Any, side: str) -> str:
    name = tensor.get("name") if isinstance(tensor, dict) else None
    if not isinstance(name, str):
        raise RequestError(f"An {side} has no name.")
    return name


def _parameters(holder: Mapping[str, Any]) -> dict[str, Any]:
    parameters = holder.get("parameters")
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise RequestError("`parameters` is no JSON object.")
    return parameters


def _respond_tensors(
    head: dict[str, Any], answers: Mapping[str, list[Any]], asked: Request, signature: Signature
) -> Response:
    outputs, tail = [], []
    for tensor in signature.outputs:
        if tensor.name not in asked.outputs:
            continue
        values = answers[tensor.name]
        output = _describe(tensor) | {"shape": [len(values), *tensor.shape[1:]]}
        if len(tensor.shape) > 1:
            values = list(chain.from_iterable(values))
        if asked.outputs[tensor.name]:
            tail.append(encode(output["datatype"], values))
            output["parameters"] = {"binary_data_size": len(tail[-1])}
        else:
            output["data"] = values
        outputs.append(output)
    body = head | {"outputs": outputs}
    if not tail:
        return respond(body)
    text = json.dumps(body).encode()
    response = Response(b"".join([text, *tail]), content_type="application/octet-stream")
    response.headers[HEADER_LENGTH] = str(len(text))
    return response
