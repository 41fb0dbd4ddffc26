"""Slack (Web API): messages posted and, where an answer never came, found again by our own key."""

import http.client
import logging
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any, NoReturn
from urllib.error import URLError
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError

from lastmile.clients.answers import NotTakenError, UnansweredError
from lastmile.errors import PermanentError, SettingsError
from lastmile.pipeline.base import Strict

TIMEOUT_SECONDS = 20
EVENT_TYPE = "lastmile_message"
"""The type of the metadata that carries our key."""
PAGES = 10
"""How many pages of a list are looked through."""

_HINT = "It should look like https://:<bot token>@slack.com/api, percent-encoded."
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}

ACCOUNT_ERRORS = {
    "invalid_auth", "not_authed", "account_inactive", "token_revoked", "token_expired", "missing_scope",
    "no_permission", "ekm_access_denied", "org_login_required", "team_access_not_granted", "access_denied",
    "enterprise_is_restricted", "not_allowed_token_type",
}  # fmt: skip
"""Slack's errors that the account's owner has to mend."""
BUSY_ERRORS = {"ratelimited", "rate_limited", "message_limit_exceeded"}
SYSTEM_ERRORS = {
    "internal_error",
    "fatal_error",
    "service_unavailable",
    "request_timeout",
    "team_added_to_org",
}


class SlackAccount(Strict):
    """Who we are there. The token shows in no representation."""

    base_url: str
    token: SecretStr

    @classmethod
    def parse(cls, url: SecretStr) -> "SlackAccount":
        """Read a connection's URL, `https://:<bot token>@slack.com/api`.

        Raises:
            SettingsError: It has another form. The headline does not repeat it.
        """
        try:
            parts = urlsplit(url.get_secret_value())
            host, port = parts.hostname, parts.port
        except ValueError:
            host = None
        if not host or not parts.password:
            raise SettingsError("The connection 'slack' lacks host or token.", _HINT)
        if parts.scheme != "https" and host not in _LOOPBACK:
            raise SettingsError(
                f"The connection 'slack' would send its token to {host} in clear.", _HINT
            )
        place = f"[{host}]" if ":" in host else host
        path = parts.path.rstrip("/") or "/api"
        return cls(
            base_url=f"{parts.scheme}://{place}{f':{port}' if port else ''}{path}/",
            token=SecretStr(unquote(parts.password)),
        )


class PostedMessage(Strict):
    """Where a message stands."""

    channel: str
    """The channel's id."""
    ts: str
    """Its timestamp, the message's id within the channel."""

    def __str__(self) -> str:
        return f"{self.channel}/{self.ts}"

    @classmethod
    def parse(cls, text: str) -> "PostedMessage":
        """Read what `str` gave."""
        channel, _, ts = text.partition("/")
        return cls(channel=channel, ts=ts)


class SlackClient:
    """One workspace's messages. Connects on first use."""

    def __init__(self, account: SlackAccount) -> None:
        self._account = account

    def post(
        self,
        channel: str,
        text: str,
        blocks: Sequence[dict[str, Any]],
        key: str,
        thread: str | None = None,
    ) -> PostedMessage:
        """Post a message.

        Args:
            channel: The channel's id, or its name.
            text: What notifications show.
            blocks: The message.
            key: Ours; `find` finds the message by it.
            thread: Timestamp of the message to reply to.

        Raises:
            LastmileError: As `_reporting` says.
        """
        with self._reporting(f"post to {channel}"):
            answer = self._slack.chat_postMessage(
                channel=channel,
                text=text,
                blocks=list(blocks),
                thread_ts=thread,
                metadata={"event_type": EVENT_TYPE, "event_payload": {"key": key}},
                unfurl_links=False,
                unfurl_media=False,
            )
        return PostedMessage(channel=str(answer["channel"]), ts=str(answer["ts"]))

    def find(
        self, channel: str, key: str, since: float, thread: str | None
    ) -> PostedMessage | None:
        """Return the message that was posted under a key, or None.

        Args:
            channel: The channel's id, or its name.
            key: As given to `post`.
            since: Unix time before which it cannot have been posted.
            thread: Timestamp of the message it replied to.

        Raises:
            LastmileError: As `_reporting` says; SettingsError where the bot may not read the channel.
        """
        with self._reporting(f"read {channel}"):
            channel_id = self._channel_id(channel)
            if channel_id is None:
                return None
            common: dict[str, Any] = {
                "channel": channel_id, "oldest": f"{since:.6f}", "limit": 100, "include_all_metadata": True,
            }  # fmt: skip
            pages = (
                self._slack.conversations_replies(ts=thread, **common)
                if thread
                else self._slack.conversations_history(**common)
            )
            for _, page in zip(range(PAGES), pages, strict=False):
                for message in page["messages"]:
                    metadata = message.get("metadata") or {}
                    payload = metadata.get("event_payload") or {}
                    if metadata.get("event_type") == EVENT_TYPE and payload.get("key") == key:
                        return PostedMessage(channel=channel_id, ts=str(message["ts"]))
        return None

    def _channel_id(self, channel: str) -> str | None:
        """Return a channel's id; reading takes an id, though posting takes a name too."""
        if channel[:1] in {"C", "G", "D"} and channel.isalnum() and channel.isupper():
            return channel
        for kind in ("public_channel", "private_channel"):  # each needs a scope of its own
            pages = self._slack.conversations_list(types=kind, exclude_archived=True, limit=200)
            for _, page in zip(range(PAGES), pages, strict=False):
                for found in page["channels"]:
                    if found["name"] == channel.removeprefix("#"):
                        return str(found["id"])
        return None

    @cached_property
    def _slack(self) -> WebClient:
        return WebClient(
            logger=_silent(),
            token=self._account.token.get_secret_value(),
            base_url=self._account.base_url,
            timeout=TIMEOUT_SECONDS,
            # None: the default one posts again when a connection breaks off, when the message may
            # stand there already; and for Retry-After the outbox waits, not a worker.
            retry_handlers=[],
        )

    @contextmanager
    def _reporting(self, verb: str) -> Iterator[None]:
        """Translate what the library raises.

        Raises:
            SettingsError: The account is wrong or lacks a scope.
            NotTakenError: Not now: too many requests, or Slack cannot be reached.
            UnansweredError: Nobody knows whether it was done.
            PermanentError: Slack refuses it, and would again.
        """
        try:
            yield
        except SlackApiError as error:
            _raise_refusal(verb, error)
        except URLError as error:
            if isinstance(error.reason, ConnectionRefusedError | socket.gaierror):
                raise NotTakenError(f"Slack was to {verb}, but it cannot be reached.") from None
            raise UnansweredError(f"Slack gave no answer when asked to {verb}.") from None
        except (OSError, http.client.HTTPException, ValueError, SlackClientError) as error:
            raise UnansweredError(
                f"Slack gave no answer that can be read when asked to {verb}: {type(error).__name__}."
            ) from None


def _silent() -> logging.Logger:
    """The library logs whole answers, some as errors; what they mean for us is said by `_reporting`."""
    logger = logging.getLogger(f"{__name__}.sdk")
    logger.disabled = True
    return logger


def _raise_refusal(verb: str, error: SlackApiError) -> NoReturn:
    """Raise what `ok: false`, or a status other than 200, means."""
    answer = error.response
    status, headers = answer.status_code, answer.headers
    data = answer.data if isinstance(answer.data, dict) else {}
    code = str(data.get("error", status))[:200]
    if status == 429 or code in BUSY_ERRORS:
        wait = next((v for k, v in headers.items() if k.lower() == "retry-after"), "")
        raise NotTakenError(
            "Slack takes no more messages for now.",
            retry_after=float(wait) if str(wait).isdigit() else None,
        ) from None
    if code in ACCOUNT_ERRORS:
        needed = f": it needs {data['needed']}" if "needed" in data else ""
        raise SettingsError(
            f"Slack does not let this account {verb} ({code}{needed}).",
            "See that the token of the connection 'slack' is valid and its app has the scopes.",
        ) from None
    is_code = (
        bool(data.get("error")) and " " not in code
    )  # else the library's words on a strange answer
    if status >= 500 or code in SYSTEM_ERRORS or not is_code:
        raise UnansweredError(f"Slack failed when asked to {verb} ({code}).") from None
    raise PermanentError(
        f"Slack refused to {verb} ({code}).",
        "See that the channel exists and the app is in it; team.channel of the pipeline names it.",
    ) from None
