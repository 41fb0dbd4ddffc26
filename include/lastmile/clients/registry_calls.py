"""One call of a registry's interface: tried again where that may help, logged in where it is asked for."""

import base64
import json
import logging
import random
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx

from lastmile.clients.registry_address import LOOPBACK, RegistryAccount, RegistryAddress
from lastmile.errors import ArtefactError, PermanentError, ServiceUnavailableError, SettingsError

log = logging.getLogger(__name__)

TIMEOUT = httpx.Timeout(60.0, connect=10.0)
LONGEST_WAIT = 30.0
LARGEST_ANSWER = 4 << 20
"""The specification asks registries to take manifests of this size; larger ones are not used."""
CHUNK_BYTES = 64 << 20
"""Of an upload: in memory once; registries on a disk wait for it after each."""
HINT = "See that the registry runs and that LASTMILE_REGISTRY is right; then run again."

_BUSY = frozenset({408, 425, 429})
DIGEST_INVALID = "DIGEST_INVALID"
_LOST = frozenset(
    {
        "BLOB_UPLOAD_UNKNOWN",
        "BLOB_UPLOAD_INVALID",
        DIGEST_INVALID,
        "MANIFEST_BLOB_UNKNOWN",
        "SIZE_INVALID",
    }
)
"""What a registry says when something we sent did not arrive or has gone since: sending again mends it."""

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Persistence:
    """How often and how long a call is tried."""

    attempts: int = 5
    first_wait: float = 0.3
    chunk_bytes: int = CHUNK_BYTES


@dataclass
class _Challenge:
    """What the registry wants before it answers."""

    kind: str
    values: Mapping[str, str]


@dataclass
class RegistryCalls:
    """Calls one registry. Connects on first use; close it, or use it as a context manager."""

    address: RegistryAddress
    account: RegistryAccount | None = None
    persistence: Persistence = field(default_factory=Persistence)

    def __post_init__(self) -> None:
        if self.account and self.address.scheme != "https" and not self.address.is_local:
            raise SettingsError(
                f"The connection 'registry' would send its password to {self.address.host} in clear.",
                "Let the registry speak https, or take the connection away.",
            )
        # A proxy of the environment knows nothing of this machine's own ports.
        self._http = httpx.Client(timeout=TIMEOUT, trust_env=not self.address.is_local)
        self._passes: dict[tuple[str, ...], str] = {}

    def close(self) -> None:
        """Let go of its connections."""
        self._http.close()

    @contextmanager
    def stream(self, url: httpx.URL, repository: str) -> Iterator[httpx.Response]:
        """Give an answer whose body is read as it comes; whatever its status is."""
        for has_login in (False, True):
            request = self._http.build_request("GET", url, headers=self._pass(url, repository))
            answer = self._http.send(request, stream=True)
            try:
                if answer.status_code == 401 and not has_login:
                    answer.read()
                    self._log_in(answer, repository)
                    continue
                yield answer
                return
            finally:
                answer.close()

    def again(self, verb: str, call: Callable[[], Result]) -> Result:
        """Try until it works, or has failed too often in a way that may pass."""
        for attempt in range(1, self.persistence.attempts + 1):
            try:
                return call()
            except ServiceUnavailableError as error:
                if attempt == self.persistence.attempts:
                    raise ServiceUnavailableError(
                        f"The registry {self.address.host} could not {verb}: {error.headline}",
                        error.hint,
                    ) from error
                self.wait(attempt, error)
        raise AssertionError("unreachable")

    def wait(self, attempt: int, error: ServiceUnavailableError) -> None:
        """Wait before the next try: longer each time, and as long as the registry asks for."""
        asked = getattr(error, "retry_after", None)
        wait = self.persistence.first_wait * 2 ** (attempt - 1) * random.uniform(0.75, 1.25)  # noqa: S311
        wait = min(max(wait, asked or 0.0), LONGEST_WAIT)
        log.info("%s Trying again in %.1f s.", error.headline, wait)
        time.sleep(wait)

    def is_there(self, url: str, repository: str) -> bool:
        """Tell whether something is there, without fetching it."""
        return self.ask("HEAD", url, repository, also=(404,)).status_code == 200

    def ask(
        self,
        method: str,
        url: httpx.URL | str,
        repository: str,
        *,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        also: tuple[int, ...] = (),
        lender: str = "",
    ) -> httpx.Response:
        """Call once; log in where the registry asks for it.

        Args:
            method: Of HTTP.
            url: Where.
            repository: Whose content it is about; the login is for this one.
            content: The body.
            headers: Further headers.
            also: Statuses that are answers, besides those of success.
            lender: Another repository that must be readable.
        """
        url = httpx.URL(url)
        whose = (repository, lender) if lender else (repository,)
        with self.reporting():
            for has_login in (False, True):
                known = {**(headers or {}), **self._pass(url, *whose)}
                answer = self._http.request(method, url, content=content, headers=known)
                if answer.status_code != 401 or has_login:
                    break
                self._log_in(answer, *whose)
        self.refuse(answer, also)
        if method == "GET" and len(answer.content) > LARGEST_ANSWER:
            raise PermanentError(f"{url.path} has more than {LARGEST_ANSWER} bytes.")
        return answer

    @contextmanager
    def reporting(self) -> Iterator[None]:
        """Turn what goes wrong on the way into an error that is worth another try."""
        try:
            yield
        except httpx.HTTPError as error:
            cause = str(error) or type(error).__name__
            raise ServiceUnavailableError(f"{cause.rstrip('.')}.", HINT) from error

    def refuse(self, answer: httpx.Response, also: tuple[int, ...]) -> None:
        """Raise what an unwelcome status means. `also` names statuses that are answers."""
        status = answer.status_code
        if answer.is_success or status in also:
            return
        with suppress(httpx.HTTPError):
            answer.read()
        said = _reason(answer)
        if status >= 500 or status in _BUSY or _code(answer) in _LOST:
            wait, code = _retry_after(answer), _code(answer)
            raise BusyRegistryError(f"it answered {status}{said}.", HINT, wait, code)
        if status in (401, 403):
            raise SettingsError(
                f"The registry {self.address.host} refuses us: {status}{said}.",
                "Give the connection `registry` a user and password that may pull and push there.",
            )
        if status == 404:
            raise ArtefactError(
                f"The registry {self.address.host} has no {answer.request.url.path}{said}.",
                "It was deleted, or never sent. Package the run again with --force, or `make images`.",
            )
        raise PermanentError(
            f"The registry {self.address.host} does not take it: {status}{said}.",
            "See the registry's own log; it may not know this kind of content.",
        )

    # Logging in

    def _pass(self, url: httpx.URL, *whose: str) -> dict[str, str]:
        """Return the header that lets us in; nothing for another host, such as a store of blobs."""
        is_ours = f"{url.scheme}://{url.netloc.decode()}" == self.address.url
        known = self._passes.get(whose) if is_ours else None
        return {"Authorization": known} if known else {}

    def _log_in(self, answer: httpx.Response, *whose: str) -> None:
        challenge = _read_challenge(answer.headers.get("WWW-Authenticate", ""))
        if challenge.kind == "bearer":
            self._passes[whose] = f"Bearer {self._fetch_token(challenge, whose)}"
        elif challenge.kind == "basic" and self.account is not None:
            self._passes[whose] = self._basic(self.account)

    def _fetch_token(self, challenge: _Challenge, whose: tuple[str, ...]) -> str:
        realm = httpx.URL(challenge.values.get("realm", ""))
        is_safe = realm.scheme == "https" or realm.host in LOOPBACK
        if not realm.host or (self.account is not None and not is_safe):
            raise SettingsError(
                f"The registry {self.address.host} sends us to {str(realm)!r} to log in.",
                "The account's password is not sent there: it is no https address.",
            )
        rights = zip(whose, ("pull,push", "pull"), strict=False)
        parameters = [("scope", f"repository:{name}:{right}") for name, right in rights if name]
        if service := challenge.values.get("service"):
            parameters.append(("service", service))
        url = realm.copy_with(params=[*realm.params.multi_items(), *parameters])
        headers = {"Authorization": self._basic(self.account)} if self.account else {}
        answer = self._http.get(url, headers=headers)
        self.refuse(answer, ())
        try:
            value: Any = answer.json()
            return str(value.get("token") or value["access_token"])
        except (ValueError, KeyError, AttributeError) as error:
            raise ServiceUnavailableError(f"{realm.host} gave no token.", HINT) from error

    @staticmethod
    def _basic(account: RegistryAccount) -> str:
        both = f"{account.user}:{account.password.get_secret_value()}".encode()
        return f"Basic {base64.b64encode(both).decode()}"


class BusyRegistryError(ServiceUnavailableError):
    """The registry cannot serve now, and may say for how long."""

    def __init__(
        self, headline: str, hint: str, retry_after: float | None, code: str | None
    ) -> None:
        super().__init__(headline, hint)
        self.retry_after = retry_after
        self.code = code
        """The registry's own word for what is wrong."""


def _retry_after(answer: httpx.Response) -> float | None:
    text = answer.headers.get("Retry-After", "")
    return float(text) if text.isascii() and text.isdigit() else None


def _reason(answer: httpx.Response) -> str:
    """Return what the registry says of an error, to put behind the status."""
    if code := _code(answer):
        message = json.loads(answer.content)["errors"][0].get("message", "")
        return f" ({code}: {str(message)[:200]})"
    return ""


def _code(answer: httpx.Response) -> str | None:
    with suppress(
        ValueError, KeyError, IndexError, TypeError, AttributeError, httpx.ResponseNotRead
    ):
        code = json.loads(answer.content)["errors"][0]["code"]
        return str(code)
    return None


def _read_challenge(header: str) -> _Challenge:
    kind, _, rest = header.partition(" ")
    values = dict(re.findall(r'([a-z_]+)="([^"]*)"', rest))
    return _Challenge(kind.lower(), values)
