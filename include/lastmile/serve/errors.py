"""The one table from what went wrong to what the client is told."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flask import Flask, Response, json, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound

from lastmile.errors import LastmileError, PermanentError, TransientError
from lastmile.features.schema import RecordError

log = logging.getLogger(__name__)


class RequestError(PermanentError):
    """The client's request cannot be answered. Knows its HTTP status and, where it has, row and column."""

    def __init__(
        self,
        headline: str,
        hint: str = "",
        *,
        status: int = 400,
        row: int | None = None,
        column: str | None = None,
    ) -> None:
        super().__init__(headline, hint)
        self.status = status
        self.row = row
        self.column = column


class NotReadyError(TransientError):
    """No model has been loaded yet."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What the client is told."""

    status: int
    headline: str
    hint: str = ""
    row: int | None = None
    column: str | None = None
    allow: str | None = None
    """The methods that the address knows."""

    def to_json(self) -> dict[str, Any]:
        """Return the body of our own protocol."""
        told = {"headline": self.headline, "hint": self.hint}
        where = {"row": self.row, "column": self.column}
        return {"error": told | {k: v for k, v in where.items() if v is not None}}

    @property
    def sentence(self) -> str:
        """Return headline and hint as one text, for protocols whose error is a text."""
        return f"{self.headline} {self.hint}".strip()


def _from_record(error: RecordError) -> Problem:
    where = f"Row {error.row}" + ("" if error.column is None else f", column {error.column!r}")
    return Problem(
        400,
        f"{where}: {error.reason}.",
        "Send every record with the columns, types and ranges that GET /openapi.json describes.",
        error.row,
        error.column,
    )


def _from_request(error: RequestError) -> Problem:
    return Problem(error.status, error.headline, error.hint, error.row, error.column)


def _from_recursion(error: RecursionError) -> Problem:
    return Problem(400, "The JSON is nested too deeply.", "A record is a flat object of values.")


def _from_not_ready(error: NotReadyError) -> Problem:
    return Problem(503, error.headline, error.hint)


def _from_not_found(error: NotFound) -> Problem:
    return Problem(404, f"There is nothing at {request.path[:200]}.", "GET / shows what there is.")


def _from_method(error: MethodNotAllowed) -> Problem:
    allow = ", ".join(sorted(error.valid_methods or ()))
    headline = f"{request.method[:40]} is not for {request.path[:200]}."
    return Problem(405, headline, f"It takes {allow}.", allow=allow)


def _from_http(error: HTTPException) -> Problem:
    return Problem(error.code or 400, f"{error.name}.", error.description or "")


def _from_unforeseen(error: Exception) -> Problem:
    log.error("A request was not answered, by a bug", exc_info=error)
    return Problem(
        500, "A bug in Lastmile kept this from being answered.", "The server's log says more."
    )


TABLE: tuple[tuple[type[Exception], Callable[[Any], Problem]], ...] = (
    (RecordError, _from_record),
    (RequestError, _from_request),
    (NotReadyError, _from_not_ready),
    (RecursionError, _from_recursion),
    (NotFound, _from_not_found),
    (MethodNotAllowed, _from_method),
    (HTTPException, _from_http),
    (Exception, _from_unforeseen),
)
"""The first row that fits is taken."""


def describe(error: Exception) -> Problem:
    """Return what the client is told of an error."""
    return next(tell(error) for kind, tell in TABLE if isinstance(error, kind))


def refuse(error: Exception) -> Response:
    """Answer with an error, in the form of the protocol that was spoken to."""
    problem = describe(error)
    speaks_text = request.path.startswith(("/v1/", "/v2/"))
    body = {"error": problem.sentence} if speaks_text else problem.to_json()
    response = Response(json.dumps(body) + "\n", status=problem.status, mimetype="application/json")
    if problem.allow is not None:
        response.headers["Allow"] = problem.allow
    return response


def register(app: Flask) -> None:
    """Let the table answer for all errors of an app."""
    app.register_error_handler(Exception, refuse)


def told(error: LastmileError) -> dict[str, str]:
    """Return an error's headline and hint, as JSON values."""
    return {"headline": error.headline, "hint": error.hint}
