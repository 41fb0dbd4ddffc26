"""The line to a Jira site: Cloud with REST v3, Data Center with v2; and what its refusals mean."""

import json
import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

from pydantic import SecretStr

from lastmile.clients.account import read_account_url
from lastmile.clients.answers import NotTakenError, UnansweredError
from lastmile.errors import PermanentError, SettingsError
from lastmile.pipeline.base import Strict

if TYPE_CHECKING:
    import requests
    from jira import JIRA
    from jira.exceptions import JIRAError

TIMEOUT_SECONDS = (5.0, 20.0)
"""To connect, and between two bytes of the answer."""

_HINT = (
    "It should look like https://<email>:<API token>@<site>.atlassian.net, percent-encoded; for Data "
    "Center https://:<personal access token>@<host>."
)


class JiraAccount(Strict):
    """Who we are there. The token shows in no representation."""

    server: str
    email: str
    """Or a user's name; empty: the token is a personal access token of Data Center."""
    token: SecretStr

    @classmethod
    def parse(cls, url: SecretStr) -> "JiraAccount":
        """Read a connection's URL, `https://<email>:<token>@<host>`.

        Raises:
            SettingsError: It has another form. The headline does not repeat it.
        """
        read = read_account_url("jira", url, _HINT, needs_user=False)
        return cls(server=read.address, email=read.user, token=read.secret)


class JiraSession:
    """One account's requests. Connects on first use."""

    def __init__(self, account: JiraAccount) -> None:
        self._account = account

    @property
    def server(self) -> str:
        """The site's address."""
        return self._account.server

    @cached_property
    def is_cloud(self) -> bool:
        """Whether it is Jira Cloud; asks the site once.

        Raises:
            LastmileError: As `reporting` says.
        """
        # Version 2 is the one that both have; the library asks for the site's description by itself.
        with self.reporting("say what it is"):
            return str(self._connect("2").deploymentType) == "Cloud"

    @cached_property
    def jira(self) -> "JIRA":
        """The library's client. Use it inside `reporting`."""
        return self._connect("3" if self.is_cloud else "2")

    def get(self, path: str, **params: str | int) -> Any:
        """Ask for what the library has no method for, or one for the wrong sort of Jira only."""
        return self.jira._get_json(path, params=params)

    def put(self, path: str, body: dict[str, Any]) -> None:
        """Change something without reading it before and after, as the library's `update` does."""
        self.jira._session.put(self.jira._get_url(path), data=json.dumps(body))

    def _connect(self, version: str) -> "JIRA":
        from jira import JIRA

        account = self._account
        token = account.token.get_secret_value()
        return JIRA(
            server=account.server,
            basic_auth=(account.email, token) if account.email else None,
            token_auth=None if account.email else token,
            options={"rest_api_version": version},
            max_retries=0,  # the outbox waits and tries again; a worker must not sleep here
            timeout=TIMEOUT_SECONDS,
            logging=False,  # the library logs request bodies and headers
        )

    @contextmanager
    def reporting(self, verb: str) -> Iterator[None]:
        """Translate what the library raises.

        Raises:
            SettingsError: The account is wrong or may not do this.
            NotTakenError: Not now: too many requests, or Jira cannot be reached.
            UnansweredError: Nobody knows whether it was done.
            PermanentError: Jira refuses it, and would again.
        """
        import requests
        from jira.exceptions import JIRAError

        try:
            yield
        except JIRAError as error:
            _raise_refusal(verb, error)
        except requests.exceptions.ConnectTimeout:
            raise _unreachable(verb, "it does not answer") from None
        except requests.exceptions.ConnectionError as error:
            if _never_connected(error):
                raise _unreachable(verb, "it cannot be reached") from None
            raise UnansweredError(f"Jira broke off when asked to {verb}.") from None
        except (requests.exceptions.RequestException, ValueError) as error:
            # A time-out, or an answer that is no JSON. The text may hold the request: not repeated.
            raise UnansweredError(
                f"Jira gave no answer that can be read when asked to {verb}: {type(error).__name__}."
            ) from None


def quoted(value: str) -> str:
    """Return a value as a JQL string: what a pipeline file holds cannot become part of the query."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _raise_refusal(verb: str, error: "JIRAError") -> NoReturn:
    """Raise what an answer of 400 or more means. `str(error)` may hold our headers: only its text is used."""
    status, text = error.status_code or 0, _first_line(error.text)
    said = f"{status}: {text}" if text else str(status)
    if status in {401, 403}:
        raise SettingsError(
            f"Jira does not let this account {verb} ({said}).",
            "See that the token of the connection 'jira' is valid and its user may work in the project.",
        ) from None
    if status == 429 or (status == 503 and _retry_after(error) is not None):
        raise NotTakenError(
            f"Jira takes no more requests for now ({said}).", retry_after=_retry_after(error)
        ) from None
    if status >= 500 or status in {0, 408}:
        raise UnansweredError(f"Jira failed when asked to {verb} ({said}).") from None
    raise PermanentError(
        f"Jira refused to {verb} ({said}).",
        "See that the project exists and which fields it requires; team.tracker names the project.",
    ) from None


def _retry_after(error: "JIRAError") -> float | None:
    headers = getattr(error.response, "headers", {})
    value = headers.get("Retry-After", "")
    return float(value) if re.fullmatch(r"\d+(\.\d+)?", value) else None


def _unreachable(verb: str, why: str) -> NotTakenError:
    return NotTakenError(f"Jira was to {verb}, but {why}.", "See that the site's name is right.")


def _never_connected(error: "requests.exceptions.ConnectionError") -> bool:
    """Tell whether the connection itself failed, so that nothing can have been done."""
    reason = getattr(error.args[0] if error.args else None, "reason", None)
    if type(reason).__name__ in {"NewConnectionError", "NameResolutionError"}:
        return True
    # Other faults of TLS may come after the request.
    return any(
        isinstance(cause, ssl.SSLCertVerificationError) for cause in getattr(reason, "args", ())
    )


def _first_line(text: str | None) -> str:
    return (text or "").strip().split("\n")[0][:300]
