"""What all of the server's endpoints share."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flask import Response, g

from lastmile.serve.answer import answer
from lastmile.serve.errors import RequestError
from lastmile.serve.limits import Limits
from lastmile.serve.live import LiveModel, Model
from lastmile.serve.metrics import Metrics

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


@dataclass(frozen=True, slots=True)
class Service:
    """The live model, the limits and the figures of one server."""

    live: LiveModel
    limits: Limits
    metrics: Metrics

    def take_model(self) -> Model:
        """Take the model that this whole request is answered by.

        Raises:
            NotReadyError: None has been loaded yet.
        """
        model = self.live.model
        g.model = model
        return model

    def take_named(self, name: str, version: str | None) -> Model:
        """Take the model; refuse where the client asks for another one.

        Raises:
            NotReadyError: None has been loaded yet.
            RequestError: Another name or version.
        """
        model = self.take_model()
        if name != model.name:
            raise RequestError(
                f"There is no model {name[:80]!r} here.", f"This is {model.name!r}.", status=404
            )
        if version not in (None, "", str(model.version)):
            raise RequestError(
                f"Version {version[:20]!r} of {name} is not served here.",
                f"Version {model.version} is.",
                status=404,
            )
        return model

    def answer(self, model: Model, records: Sequence[Any]) -> list[dict[str, Any]]:
        """Answer records; see `lastmile.serve.answer.answer`."""
        answers = answer(model, records, self.limits.max_rows)
        self.metrics.count_rows(model, len(answers))
        return answers


_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


class _JsonResponse(Response):
    """A body in one piece and plain headers: nothing to be mended on the way out."""

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] == "HEAD":
            return super().__call__(environ, start_response)
        start_response(self.status, self.headers.to_wsgi_list())
        body: list[bytes] = self.response  # type: ignore[assignment]
        return body


def respond(value: Any, status: int = 200) -> Response:
    """Answer with JSON."""
    return _JsonResponse(_encode(value) + "\n", status, content_type="application/json")
