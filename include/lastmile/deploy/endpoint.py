"""Our own model server, seen from its client's side."""

import http.client
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from lastmile.errors import DataError, LastmileError, ServiceUnavailableError

EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - looked up, not listened on


@dataclass(frozen=True, slots=True)
class Readiness:
    """What `/readyz` says."""

    is_ready: bool
    version: int | None
    release: int | None
    problem: str | None
    """Why the bundle that the server was told to serve does not answer; None where it does."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The address of a model server. Talks to it directly: a proxy of the environment is not asked."""

    host: str
    port: int

    @property
    def address(self) -> str:
        """The URL to show."""
        host = EVERY_ADDRESS.get(self.host, self.host)
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    def readiness(self, seconds: float = 2.0) -> Readiness | None:
        """Ask whether the server is ready; None where nothing answers like our server."""
        try:
            _, value = self._ask("GET", "/readyz", None, seconds)
        except LastmileError:
            return None
        if not isinstance(value, dict) or not isinstance(value.get("ready"), bool):
            return None
        problem = value.get("problem")
        return Readiness(
            is_ready=value["ready"],
            version=value.get("version"),
            release=value.get("release"),
            problem=problem.get("headline") if isinstance(problem, dict) else None,
        )

    def predict(self, records: Sequence[Any], seconds: float = 30.0) -> dict[str, Any]:
        """Ask for predictions; return the whole answer.

        Raises:
            DataError: The server refuses the records; says which.
            ServiceUnavailableError: No answer in time, or none of a model server.
        """
        status, value = self._ask("POST", "/predict", {"instances": list(records)}, seconds)
        return self._expect(status, value)

    def inputs(self, name: str, seconds: float = 5.0) -> dict[str, str]:
        """Return the columns that a model reads, each with its Open Inference datatype.

        Raises:
            DataError: The server knows no such model.
            ServiceUnavailableError: No answer in time, or none of a model server.
        """
        status, value = self._ask("GET", f"/v2/models/{quote(name, safe='')}", None, seconds)
        try:
            inputs = self._expect(status, value)["inputs"]
            return {str(tensor["name"]): str(tensor["datatype"]) for tensor in inputs}
        except (KeyError, TypeError) as error:
            raise ServiceUnavailableError(
                f"{self.address} does not say what {name} reads.", "Look at its log."
            ) from error

    def _expect(self, status: int, value: Any) -> dict[str, Any]:
        """Return the answer, or raise what the server says is wrong."""
        if status == http.client.OK and isinstance(value, dict):
            return value
        error = value.get("error", value) if isinstance(value, dict) else value
        said = error if isinstance(error, dict) else {"headline": str(error)}
        headline, hint = str(said.get("headline", error)), str(said.get("hint", ""))
        if 400 <= status < 500:
            raise DataError(headline, hint)
        raise ServiceUnavailableError(f"{self.address} answered {status}: {headline}", hint)

    def _ask(self, method: str, path: str, body: Any, seconds: float) -> tuple[int, Any]:
        host = EVERY_ADDRESS.get(self.host, self.host)
        connection = http.client.HTTPConnection(host, self.port, timeout=seconds)
        content = None if body is None else _encode(body)
        try:
            connection.request(method, path, content, {"Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, json.loads(response.read(), parse_constant=_refuse_constant)
        except TimeoutError as error:
            raise ServiceUnavailableError(
                f"{self.address}{path} did not answer within {seconds:.3g} s.", "Look at its log."
            ) from error
        except (OSError, http.client.HTTPException) as error:
            raise ServiceUnavailableError(
                f"{self.address} does not answer: {error!r}",
                "Bring the served models back with: lastmile serve",
            ) from error
        except ValueError as error:
            raise ServiceUnavailableError(
                f"{self.address}{path} answered with no JSON: {error}", "Look at its log."
            ) from error
        finally:
            connection.close()


def _encode(body: Any) -> bytes:
    try:
        return json.dumps(body, allow_nan=False).encode()
    except ValueError as error:
        raise DataError(
            f"The records cannot be sent: {error}.",
            "Write a missing number as null, or leave it out.",
        ) from error


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")
