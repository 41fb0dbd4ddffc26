"""The Flask application."""

from functools import cached_property
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from flask import Flask, Request, Response, g, request
from flask.ctx import RequestContext
from flask.sessions import NullSession, SessionInterface
from werkzeug.routing import Map, MapAdapter, Rule

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


class _NoSession(SessionInterface):
    """The same empty session for every request."""

    _session = NullSession()

    def open_session(self, app: Flask, request: Request) -> NullSession:
        return self._session


class _FixedAddress(MapAdapter):
    """What is left of finding an address's rule when it is known."""

    def __init__(self, url_map: Map, rule: Rule) -> None:
        self.map = url_map
        self._rule = rule

    def match(self, *_: Any, **__: Any) -> Any:
        return self._rule, {}


class _ServerApp(Flask):
    """Flask less what this server has no use for, which would add a sixth to the time of a prediction.

    There are no hosts to tell apart, no sessions, no signals and no hooks; what hooks would do, the
    version's header and the figures, stands in `process_response`.
    """

    session_interface = _NoSession()

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
        rule = self._fixed_rules.get((request.path, request.method))
        if rule is not None:
            return _FixedAddress(self.url_map, rule)
        return MapAdapter(self.url_map, "", "/", "", "http", request.path, request.method)

    @cached_property
    def _fixed_rules(self) -> dict[tuple[str, str], Rule]:
        """The rules without variables, by path and method; first asked for when all are known."""
        return {
            (rule.rule, method): rule
            for rule in self.url_map.iter_rules()
            if not rule.arguments
            for method in (rule.methods or set()) - {"OPTIONS"}  # Flask answers it by the whole map
        }

    def full_dispatch_request(self) -> Response:
        try:
            response = self.make_response(self.dispatch_request())
        except Exception as error:
            response = self.make_response(self.handle_user_exception(error))
        return self.process_response(response)

    def do_teardown_request(self, *_: object) -> None:
        return None

    def do_teardown_appcontext(self, *_: object) -> None:
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
