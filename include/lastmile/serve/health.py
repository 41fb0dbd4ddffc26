"""Whether the server lives, whether it can answer, and its figures."""

from typing import Any

from flask import Blueprint, Response

from lastmile.serve.errors import told
from lastmile.serve.service import Service, respond


def build_blueprint(service: Service) -> Blueprint:
    """Build `/livez`, `/readyz` and `/metrics`."""
    blueprint = Blueprint("health", __name__)

    @blueprint.get("/livez")
    def livez() -> Response:
        return respond({"live": True})

    @blueprint.get("/readyz")
    def readyz() -> Response:
        return respond(*readiness(service))

    @blueprint.get("/metrics")
    def metrics() -> Response:
        return Response(service.metrics.render(), content_type=service.metrics.content_type)

    return blueprint


def readiness(service: Service) -> tuple[dict[str, Any], int]:
    """Return what `/readyz` says, and its status.

    A server whose new bundle cannot be loaded stays ready with the old one, and says both.
    """
    problem = service.live.problem
    said = {} if problem is None else {"problem": told(problem)}
    model = service.live.loaded
    if model is None:
        return {"ready": False, **said}, 503
    pointer = model.pointer
    state = {"ready": True, "name": pointer.name, "version": pointer.version}
    return {**state, "release": pointer.release, **said}, 200
