"""The description of the server in OpenAPI 3.1, made from the model's columns and signature."""

from typing import Any

from lastmile.bundle.signature import Signature, Tensor
from lastmile.features.schema import Column, ColumnKind
from lastmile.serve.example import example_record
from lastmile.serve.limits import Limits
from lastmile.serve.live import Model

_TYPES = {
    ColumnKind.INTEGER: "integer",
    ColumnKind.NUMBER: "number",
    ColumnKind.BOOLEAN: "boolean",
    ColumnKind.CATEGORY: "string",
}
_OUTPUT_TYPES = {"float64": "number", "int64": "integer", "bool": "boolean", "string": "string"}

_JSON = "application/json"


def describe_api(model: Model, limits: Limits) -> dict[str, Any]:
    """Return the OpenAPI document."""
    transform, signature = model.predictor.transform, model.predictor.signature
    example = example_record(transform)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": model.name,
            "version": str(model.version),
            "description": f"A {signature.task} model, served by Lastmile.",
        },
        "paths": _describe_paths(model, limits, example),
        "components": {
            "schemas": {
                "Record": {
                    "type": "object",
                    "description": "One record. A column that is null is missing.",
                    "properties": {
                        column.name: describe_column(column) for column in transform.schema.columns
                    },
                    "required": list(transform.schema.names),
                    "additionalProperties": False,
                    "examples": [example],
                },
                "Prediction": _describe_prediction(signature),
                "Problem": _PROBLEM,
                "ProblemText": _object({"error": {"type": "string"}}),
            }
        },
    }


def describe_column(column: Column) -> dict[str, Any]:
    """Return the JSON schema of a column's values."""
    described: dict[str, Any] = {"type": [_TYPES[column.kind], "null"]}
    if column.minimum is not None:
        described["minimum"] = column.minimum
    if column.maximum is not None:
        described["maximum"] = column.maximum
    if column.allowed is not None:
        described["enum"] = [*column.allowed, None]
    return described


def _describe_prediction(signature: Signature) -> dict[str, Any]:
    return _object(
        {tensor.name: _describe_output(tensor, signature) for tensor in signature.outputs}
    )


def _describe_output(tensor: Tensor, signature: Signature) -> dict[str, Any]:
    described: dict[str, Any] = {"type": _OUTPUT_TYPES[tensor.type]}
    if tensor.name == "label" and signature.classes is not None:
        described["enum"] = list(signature.classes)
    if tensor.name.startswith("probabilit"):
        described |= {"minimum": 0, "maximum": 1}
    if len(tensor.shape) > 1:
        size = tensor.shape[1]
        described = {"type": "array", "items": described, "minItems": size, "maxItems": size}
    return described


def _object(properties: dict[str, Any], optional: tuple[str, ...] = ()) -> dict[str, Any]:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required}


_PROBLEM = _object(
    {
        "error": _object(
            {
                "headline": {"type": "string", "description": "What happened, with the values."},
                "hint": {"type": "string", "description": "What to do."},
                "row": {"type": "integer", "minimum": 0, "description": "Counted from 0."},
                "column": {"type": "string"},
            },
            optional=("row", "column"),
        )
    }
)


def _describe_paths(model: Model, limits: Limits, example: dict[str, Any]) -> dict[str, Any]:
    base, versioned = f"/models/{model.name}", f"/models/{model.name}/versions/{model.version}"
    columns = model.predictor.signature.inputs
    tensors = {
        "inputs": [
            {"name": tensor.name, "datatype": _DATATYPES[tensor.type], "shape": [1],
             "data": [example[tensor.name]]}
            for tensor in columns
        ]
    }  # fmt: skip
    paths = {
        "/predict": {"post": _post("Predict", _predict_body(limits), _predict_answer())},
        f"/v1{base}": {"get": _get("State, in TensorFlow Serving's form", 404, 503)},
        f"/v1{base}/metadata": {"get": _get("Signature, in TensorFlow Serving's form", 404, 503)},
        f"/v1{base}:predict": {
            "post": _post("Predict, in TensorFlow Serving's form", {"type": "object"},
                          {"type": "object"}, {"instances": [example]}, "ProblemText"),
        },
        "/v2": {"get": _get("The server, in the Open Inference Protocol")},
        "/v2/health/live": {"get": _get("Whether the server lives")},
        "/v2/health/ready": {"get": _get("Whether a model is ready", 503)},
        f"/v2{base}": {"get": _get("Inputs and outputs, in the Open Inference Protocol", 404, 503)},
        f"/v2{base}/ready": {"get": _get("Whether the model is ready", 404, 503)},
        f"/v2{base}/infer": {
            "post": _post("Predict, in the Open Inference Protocol", {"type": "object"},
                          {"type": "object"}, tensors, "ProblemText"),
        },
        "/livez": {"get": _get("Whether the server lives")},
        "/readyz": {"get": _get("Whether a model is ready, and which", 503)},
        "/metrics": {"get": _get("Figures for Prometheus", media="text/plain")},
        "/openapi.json": {"get": _get("This document", 503)},
        "/": {"get": _get("A page for people", media="text/html")},
    }  # fmt: skip
    again = {path.replace(base, versioned): item for path, item in paths.items() if base in path}
    return paths | again


_DATATYPES = {"float64": "FP64", "int64": "INT64", "bool": "BOOL", "string": "BYTES"}


def _get(summary: str, *problems: int, media: str = _JSON) -> dict[str, Any]:
    responses: dict[str, Any] = {"200": {"description": summary, "content": {media: {}}}}
    for status in problems:
        responses[str(status)] = {"description": _STATUS[status]}
    return {"summary": summary, "responses": responses}


def _post(
    summary: str,
    body: dict[str, Any],
    answer: dict[str, Any],
    example: dict[str, Any] | None = None,
    problem: str = "Problem",
) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": body}
    if example is not None:
        content["example"] = example
    told = {"content": {_JSON: {"schema": {"$ref": f"#/components/schemas/{problem}"}}}}
    header = {"X-Model-Version": {"schema": {"type": "string"}, "description": "What answered."}}
    answered = {
        "description": "Answered.",
        "headers": header,
        "content": {_JSON: {"schema": answer}},
    }
    refused = {str(status): {"description": text, **told} for status, text in _STATUS.items()}
    return {
        "summary": summary,
        "requestBody": {"required": True, "content": {_JSON: content}},
        "responses": {"200": answered, **refused},
    }


_STATUS = {
    400: "A record or the request's form is wrong.",
    404: "Another model or version.",
    413: "Too many records or too large a body.",
    415: "The body is declared as something else than JSON.",
    422: "The model has no finite answer for a record.",
    503: "No model is ready yet.",
}


def _predict_body(limits: Limits) -> dict[str, Any]:
    rows = {"type": "array", "minItems": 1, "maxItems": limits.max_rows}
    value = {"type": ["number", "string", "boolean", "null"]}
    row = {"anyOf": [value, {"type": "array", "items": value}]}
    return {
        "oneOf": [
            _object({"instances": rows | {"items": {"$ref": "#/components/schemas/Record"}}})
            | {"additionalProperties": False},
            _object({"data": rows | {"items": row, "description": "Rows in the columns' order."}})
            | {"additionalProperties": False},
        ]
    }


def _predict_answer() -> dict[str, Any]:
    prediction = {"$ref": "#/components/schemas/Prediction"}
    return _object(
        {
            "predictions": {"type": "array", "items": prediction},
            "model": {"type": "string"},
            "version": {"type": "integer"},
        }
    )
