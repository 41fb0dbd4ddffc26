"""TensorFlow Serving's REST form, https://www.tensorflow.org/tfx/serving/api_rest."""

from typing import Any

from flask import Blueprint, Response, request

from lastmile.bundle.signature import Signature, Tensor
from lastmile.features.schema import RecordError, Schema
from lastmile.serve.answer import columns_of_answers, records_of_columns
from lastmile.serve.body import parse_json, read_body
from lastmile.serve.errors import RequestError
from lastmile.serve.service import Service, respond

SIGNATURE = "serving_default"
_TYPES = {"float64": "DT_DOUBLE", "int64": "DT_INT64", "bool": "DT_BOOL", "string": "DT_STRING"}


def build_blueprint(service: Service) -> Blueprint:
    """Build the endpoints below `/v1`."""
    blueprint = Blueprint("tensorflow", __name__, url_prefix="/v1")

    def status(name: str, version: str | None = None) -> Response:
        model = service.take_named(name, version)
        state = {"state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
        return respond({"model_version_status": [{"version": str(model.version), **state}]})

    def metadata(name: str, version: str | None = None) -> Response:
        model = service.take_named(name, version)
        spec = {"name": name, "signature_name": "", "version": str(model.version)}
        signature = describe_signature(model.predictor.signature)
        definitions = {"signature_def": {SIGNATURE: signature}}
        return respond({"model_spec": spec, "metadata": {"signature_def": definitions}})

    def predict(name: str, version: str | None = None) -> Response:
        model = service.take_named(name, version)
        body = parse_json(read_body(request, service.limits.max_body_bytes))
        records, by_column = parse_records(body, model.predictor.transform.schema)
        answers = service.answer(model, records)
        if by_column:
            columns = columns_of_answers(answers)
            outputs = columns if len(columns) > 1 else next(iter(columns.values()))
            return respond({"outputs": outputs})
        if len(answers[0]) == 1:  # one output: its values stand alone
            return respond({"predictions": [next(iter(row.values())) for row in answers]})
        return respond({"predictions": answers})

    for route in ("/models/<name>", "/models/<name>/versions/<version>"):
        blueprint.get(route)(status)
        blueprint.get(f"{route}/metadata")(metadata)
        blueprint.post(f"{route}:predict")(predict)
    return blueprint


def parse_records(body: Any, schema: Schema) -> tuple[list[Any], bool]:
    """Return the records of a body, and whether it gave them by column.

    Raises:
        RequestError: It is neither the row form nor the column form.
        RecordError: A column that the model does not read.
    """
    forms = 'Send {"instances": [{column: value, ...}]} or {"inputs": {column: [value, ...]}}.'
    if not isinstance(body, dict):
        raise RequestError("The body is no JSON object.", forms)
    if body.get("signature_name", SIGNATURE) not in (SIGNATURE, ""):
        raise RequestError("There is no such signature.", f"The one signature is {SIGNATURE!r}.")
    given = body.keys() - {"signature_name"}
    if given == {"instances"}:
        return _parse_rows(body["instances"], schema, forms), False
    if given == {"inputs"}:
        return _parse_columns(body["inputs"], schema, forms), True
    found = ", ".join(sorted(repr(key[:40]) for key in given)[:10]) or "nothing"
    raise RequestError(f"The body holds {found}.", forms)


def _parse_rows(rows: Any, schema: Schema, forms: str) -> list[Any]:
    if not isinstance(rows, list):
        raise RequestError("'instances' is no list.", forms)
    if len(schema.names) == 1:  # one input: its values may stand alone
        return [row if isinstance(row, dict) else {schema.names[0]: row} for row in rows]
    return rows


def _parse_columns(columns: Any, schema: Schema, forms: str) -> list[Any]:
    if isinstance(columns, list) and len(schema.names) == 1:
        columns = {schema.names[0]: columns}
    if not isinstance(columns, dict):
        raise RequestError("'inputs' is no object of columns.", forms)
    lengths = set()
    for name, values in columns.items():
        if name not in schema.names:
            raise RecordError(
                0, name[:80], f"unknown; the model reads {', '.join(schema.names[:40])}"
            )
        if not isinstance(values, list):
            raise RequestError(f"Column {name!r} of 'inputs' is no list.", forms, column=name)
        lengths.add(len(values))
    if len(lengths) > 1:
        raise RequestError(
            f"The columns of 'inputs' have different lengths: {sorted(lengths)!r:.80}.", forms
        )
    return records_of_columns(columns)


def describe_signature(signature: Signature) -> dict[str, Any]:
    """Return the signature in the form of TensorFlow's SignatureDef."""
    return {
        "inputs": {tensor.name: _describe(tensor) for tensor in signature.inputs},
        "outputs": {tensor.name: _describe(tensor) for tensor in signature.outputs},
        "method_name": "tensorflow/serving/predict",
    }


def _describe(tensor: Tensor) -> dict[str, Any]:
    dimensions = [{"size": str(size), "name": ""} for size in tensor.shape]
    return {
        "dtype": _TYPES[tensor.type],
        "tensor_shape": {"dim": dimensions, "unknown_rank": False},
        "name": tensor.name,
    }
