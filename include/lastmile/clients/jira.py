"""Jira Cloud (REST v3): tickets found by label, made, and commented on.

Creating has no idempotency key, and the search lags behind by seconds: a caller whose create was not
answered waits, looks with `find`, and only then tries again.
"""

import json
import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any, NoReturn
from urllib.parse import unquote, urlsplit

import requests
from jira import JIRA
from jira.exceptions import JIRAError
from pydantic import SecretStr

from lastmile.clients.answers import NotTakenError, UnansweredError
from lastmile.errors import PermanentError, SettingsError
from lastmile.pipeline.base import Strict

TIMEOUT_SECONDS = (5.0, 20.0)
"""To connect, and between two bytes of the answer."""

_HINT = "It should look like https://<email>:<API token>@<site>.atlassian.net, percent-encoded."
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


class JiraAccount(Strict):
    """Who we are there. The token shows in no representation."""

    server: str
    email: str
    token: SecretStr

    @classmethod
    def parse(cls, url: SecretStr) -> "JiraAccount":
        """Read a connection's URL, `https://<email>:<token>@<host>`.

        Raises:
            SettingsError: It has another form. The headline does not repeat it.
        """
        try:
            parts = urlsplit(url.get_secret_value())
            host, port = parts.hostname, parts.port
        except ValueError:
            host = None
        if not host or not parts.username or not parts.password:
            raise SettingsError("The connection 'jira' lacks host, e-mail address or token.", _HINT)
        if parts.scheme != "https" and host not in _LOOPBACK:
            raise SettingsError(
                f"The connection 'jira' would send its token to {host} in clear.", _HINT
            )
        place = f"[{host}]" if ":" in host else host
        return cls(
            server=f"{parts.scheme}://{place}{f':{port}' if port else ''}{parts.path.rstrip('/')}",
            email=unquote(parts.username),
            token=SecretStr(unquote(parts.password)),
        )


class JiraClient:
    """One account's tickets. Connects on first use."""

    def __init__(self, account: JiraAccount) -> None:
        self._account = account
        self._issue_types: dict[str, dict[str, str]] = {}

    def address(self, ticket: str) -> str:
        """Return where a person finds a ticket."""
        return f"{self._account.server}/browse/{ticket}"

    def find(self, project: str, label: str) -> str | None:
        """Return the newest ticket with this label that is not done, or None. May lag by seconds.

        Raises:
            LastmileError: As `_reporting` says.
        """
        query = (
            f"project = {_quoted(project)} AND labels = {_quoted(label)}"
            " AND statusCategory != Done ORDER BY created DESC"
        )
        with self._reporting(f"look for a ticket in {project}"):
            found = self._jira.enhanced_search_issues(
                query, maxResults=1, fields=["key"], json_result=True
            )
        issues = found["issues"] if isinstance(found, dict) else []
        return str(issues[0]["key"]) if issues else None

    def is_open(self, ticket: str) -> bool:
        """Tell whether a ticket is there and not done. Does not lag, as the search does.

        Raises:
            LastmileError: As `_reporting` says.
        """
        with self._reporting(f"read {ticket}"):
            try:
                issue = self._jira.issue(ticket, fields="status")
            except JIRAError as error:
                if error.status_code == 404:  # deleted, or moved to where we may not look
                    return False
                raise
        return bool(issue.raw["fields"]["status"]["statusCategory"]["key"] != "done")

    def create(
        self,
        project: str,
        issue_types: tuple[str, ...],
        summary: str,
        description: dict[str, Any],
        labels: tuple[str, ...],
    ) -> str:
        """Make a ticket; returns its key.

        Args:
            project: The project's key.
            issue_types: Names of issue types, the best first.
            summary: One line of at most 255 characters.
            description: A document in Atlassian's format.
            labels: Without blanks.

        Raises:
            LastmileError: As `_reporting` says.
        """
        fields = {
            "project": {"key": project},
            "issuetype": {"id": self._issue_type(project, issue_types)},
            "summary": summary,
            "description": description,
            "labels": list(labels),
        }
        with self._reporting(f"make a ticket in {project}"):
            return str(self._jira.create_issue(fields=fields, prefetch=False).key)

    def comment(self, ticket: str, body: dict[str, Any]) -> None:
        """Comment on a ticket; the body is a document in Atlassian's format.

        Raises:
            LastmileError: As `_reporting` says.
        """
        with self._reporting(f"comment on {ticket}"):
            self._jira.add_comment(ticket, body)

    def holds(self, ticket: str, text: str) -> bool:
        """Tell whether a ticket's description or one of its newest comments holds a text.

        Raises:
            LastmileError: As `_reporting` says.
        """
        with self._reporting(f"read {ticket}"):
            issue = self._jira.issue(ticket, fields="description")
            comments = self._jira.comments(ticket, max_results=100, order_by="-created")
        documents = [issue.raw["fields"].get("description"), *(c.raw["body"] for c in comments)]
        return any(text in json.dumps(document, ensure_ascii=False) for document in documents)

    def _issue_type(self, project: str, wanted: tuple[str, ...]) -> str:
        """Return the id of the first wanted issue type that the project has, else of any."""
        if project not in self._issue_types:
            with self._reporting(f"read the project {project}"):
                found = self._jira.project(project).raw["issueTypes"]
            self._issue_types[project] = {t["name"]: t["id"] for t in found if not t["subtask"]}
        known = self._issue_types[project]
        if not known:
            raise PermanentError(
                f"The Jira project {project} has no issue type for tickets.",
                "Give the project an issue type, or name another under team.tracker.",
            )
        return next((known[name] for name in wanted if name in known), next(iter(known.values())))

    @cached_property
    def _jira(self) -> JIRA:
        account = self._account
        return JIRA(
            server=account.server,
            basic_auth=(account.email, account.token.get_secret_value()),
            options={"rest_api_version": "3"},
            max_retries=0,  # the outbox waits and tries again; a worker must not sleep here
            timeout=TIMEOUT_SECONDS,
            logging=False,  # the library logs request bodies and headers
        )

    @contextmanager
    def _reporting(self, verb: str) -> Iterator[None]:
        """Translate what the library raises.

        Raises:
            SettingsError: The account is wrong or may not do this.
            NotTakenError: Not now: too many requests, or Jira cannot be reached.
            UnansweredError: Nobody knows whether it was done.
            PermanentError: Jira refuses it, and would again.
        """
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


def _raise_refusal(verb: str, error: JIRAError) -> NoReturn:
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


def _retry_after(error: JIRAError) -> float | None:
    headers = getattr(error.response, "headers", {})
    value = headers.get("Retry-After", "")
    return float(value) if re.fullmatch(r"\d+(\.\d+)?", value) else None


def _unreachable(verb: str, why: str) -> NotTakenError:
    return NotTakenError(f"Jira was to {verb}, but {why}.", "See that the site's name is right.")


def _never_connected(error: requests.exceptions.ConnectionError) -> bool:
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


def _quoted(value: str) -> str:
    """Return a value as a JQL string: what a pipeline file holds cannot become part of the query."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
