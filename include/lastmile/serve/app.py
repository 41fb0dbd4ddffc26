"""The Flask application."""

from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from flask import Flask, Request, Response, g, request
from flask.ctx import RequestContext
from werkzeug.routing import MapAdapter

from lastmile.serve import errors, health, open_inference, page, predict, tensorflow
from lastmile.serve.limits import Limits
from lastmile.serve.live import LiveModel
from lastmile.serve.metrics import Metrics
from lastmile.serve.service import Service

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

BLUEPRINTS = (predict, open_inference, tensorflow, health, page)
_STARTED = "lastmile.started"


def create_app(pointer: Path, limits: Limits | None = None, *, follow: bool = True) -> Flask:
    """Build the server over the bundle that a pointer names.

    The bundle is loaded now; where it cannot be, the server says so at `/readyz` and tries again.

    Args:
        pointer: The pointer's file.
        limits: How much a request may ask for; the defaults where not given.
        follow: Look at the pointer from a thread from now on.
    """
    metrics = Metrics()
    live = LiveModel(pointer, on_swap=metrics.note_model)
    live.refresh()
    if follow:
        live.watch()
    service = Service(live, limits or Limits(), metrics)
    app = _ServerApp(service)
    for module in BLUEPRINTS:
        app.register_blueprint(module.build_blueprint(service))
    errors.register(app)
    return app


class _ServerApp(Flask):
    """Flask less what this server has no use for, which is a tenth of the time of a prediction.

    There are no hosts to tell apart, no sessions and no hooks; what hooks would do, the version's header
    and the figures, stands in `process_response`.
    """

    def __init__(self, service: Service) -> None:
        super().__init__("lastmile.serve", static_folder=None, template_folder=None)
        self.extensions["lastmile"] = service
        self._service = service
        self.url_map.merge_slashes = False  # no redirects: a path is known or is not

    def request_context(self, environ: "WSGIEnvironment") -> RequestContext:
        environ[_STARTED] = perf_counter()
        return super().request_context(environ)

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        if request is None:
            return None
        return MapAdapter(self.url_map, "", "/", "", "http", request.path, request.method)

    def preprocess_request(self) -> None:
        return None

    def process_response(self, response: Response) -> Response:
        service = self._service
        # The version that answered, which need not be the live one any more.
        model = g.get("model") or service.live.loaded
        if model is not None:
            response.headers["X-Model-Version"] = model.version_text
        asked: Any = request._get_current_object()  # type: ignore[attr-defined]
        route = "unmatched" if asked.url_rule is None else asked.url_rule.rule
        seconds = perf_counter() - asked.environ[_STARTED]
        service.metrics.count_request(route, response.status_code, seconds)
        return response
