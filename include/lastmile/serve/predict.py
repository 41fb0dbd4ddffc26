"""Our own protocol: `POST /predict`."""

from typing import Any

from flask import Blueprint, Response, request

from lastmile.features.schema import Schema
from lastmile.serve.answer import records_of_rows
from lastmile.serve.body import read_json
from lastmile.serve.errors import RequestError
from lastmile.serve.service import Service, respond


def build_blueprint(service: Service) -> Blueprint:
    """Build the endpoint."""
    blueprint = Blueprint("predict", __name__)

    @blueprint.post("/predict")
    def predict() -> Response:
        model = service.take_model()
        body = read_json(request, service.limits.max_body_bytes)
        records = parse_records(body, model.predictor.transform.schema)
        answers = service.answer(model, records)
        return respond({"predictions": answers, "model": model.name, "version": model.version})

    return blueprint


def parse_records(body: Any, schema: Schema) -> list[Any]:
    """Return the records that a body holds, not yet looked at one by one.

    Raises:
        RequestError: It is neither `{"instances": [...]}` nor `{"data": [...]}`.
        RecordError: A row of `data` is not as long as there are columns.
    """
    forms = 'Send {"instances": [{column: value, ...}]} or {"data": [[value, ...]]}.'
    if not isinstance(body, dict):
        raise RequestError("The body is no JSON object.", forms)
    if len(body) != 1 or not (body.keys() <= {"instances", "data"}):
        found = ", ".join(repr(key[:40]) for key in list(body)[:10]) or "nothing"
        raise RequestError(f"The body holds {found}.", forms)
    [(form, rows)] = body.items()
    if not isinstance(rows, list):
        raise RequestError(f"{form!r} is no list.", forms)
    if form == "instances":
        return rows
    if len(schema.names) == 1 and not any(isinstance(row, list) for row in rows):
        return [{schema.names[0]: value} for value in rows]
    return records_of_rows(rows, schema.names)
