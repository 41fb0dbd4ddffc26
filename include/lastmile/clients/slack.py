"""Slack (Web API): messages posted and, where an answer never came, found again by our own key."""

import http.client
import logging
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn
from urllib.error import URLError
from urllib.parse import urlsplit

from pydantic import SecretStr

from lastmile.clients.account import Finding, read_account_url
from lastmile.clients.answers import NotTakenError, UnansweredError
from lastmile.clients.chat import Chat, ChatSettings
from lastmile.clients.formats.blocks import slack_message
from lastmile.clients.story import Story
from lastmile.errors import LastmileError, PermanentError, SettingsError
from lastmile.pipeline.base import Strict

if TYPE_CHECKING:
    from slack_sdk import WebClient
    from slack_sdk.errors import SlackApiError

TIMEOUT_SECONDS = 20
EVENT_TYPE = "lastmile_message"
"""The type of the metadata that carries our key."""
PAGES = 10
"""How many pages of a list are looked through."""

_HINT = "It should look like https://:<bot token>@slack.com/api, percent-encoded."

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
SCOPES = {
    "chat:write": "no message can be posted",
    "channels:read": "channels are not found by name",
    "channels:history": "a message whose answer never came may come twice",
}
"""What the app needs, and what happens without it."""


class SlackSettings(ChatSettings):
    """What a team file may say of Slack."""

    title: ClassVar[str] = "Slack"

    channel: str = ""
    """Channel for pipelines that name none, without `#`; empty: they get no message."""

    def place(self) -> str:
        """Return the channel."""
        return self.channel

    def open(self, url: SecretStr) -> Chat:
        """Return the Slack that a connection's URL names, `https://:<bot token>@slack.com/api`.

        Raises:
            SettingsError: The URL is no account of Slack.
        """
        return SlackChat(SlackAccount.parse(url))


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
        read = read_account_url("slack", url, _HINT, needs_user=False)
        path = "" if urlsplit(read.address).path else "/api"
        return cls(base_url=f"{read.address}{path}/", token=read.secret)


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


class SlackChat:
    """One workspace's messages. Connects on first use."""

    can_look_back = True

    def __init__(self, account: SlackAccount) -> None:
        self._account = account

    def post(
        self, place: str, story: Story, key: str, thread: str | None = None, aloud: bool = False
    ) -> str:
        """Post a message; the key travels in its metadata. A thread that a person deleted is no more."""
        root = PostedMessage.parse(thread) if thread else None
        try:
            return self._post(root.channel if root else place, story, key, root, aloud)
        except PermanentError as error:
            if root is None or "thread_not_found" not in error.headline:
                raise
            return self._post(root.channel, story, key, None, aloud)

    def _post(
        self, place: str, story: Story, key: str, root: PostedMessage | None, aloud: bool
    ) -> str:
        content = slack_message(story)
        with self._reporting(f"post to {place}"):
            answer = self._slack.chat_postMessage(
                channel=place,
                text=content.text,
                blocks=list(content.blocks),
                thread_ts=root.ts if root else None,
                reply_broadcast=True if root and aloud else None,
                metadata=_metadata(key),
                unfurl_links=False,
                unfurl_media=False,
            )
        return str(PostedMessage(channel=str(answer["channel"]), ts=str(answer["ts"])))

    def update(self, message: str, story: Story, key: str) -> None:
        """Let a message say something else from now on; nothing happens where a person deleted it."""
        where, content = PostedMessage.parse(message), slack_message(story)
        try:
            with self._reporting(f"change a message in {where.channel}"):
                self._slack.chat_update(
                    channel=where.channel,
                    ts=where.ts,
                    text=content.text,
                    blocks=list(content.blocks),
                    metadata=_metadata(key),
                )
        except PermanentError as error:
            if "message_not_found" not in error.headline:
                raise

    def find(self, place: str, key: str, since: float, thread: str | None = None) -> str | None:
        """Return the id of the message that was posted under a key, or None.

        Raises:
            SettingsError: The bot may not read the channel.
        """
        root = PostedMessage.parse(thread) if thread else None
        with self._reporting(f"read {place}"):
            channel_id = root.channel if root else self._channel_id(place)
            if channel_id is None:
                return None
            common: dict[str, Any] = {
                "channel": channel_id, "oldest": f"{since:.6f}", "limit": 100, "include_all_metadata": True,
            }  # fmt: skip
            pages = (
                self._slack.conversations_replies(ts=root.ts, **common)
                if root
                else self._slack.conversations_history(**common)
            )
            for _, page in zip(range(PAGES), pages, strict=False):
                for message in page["messages"]:
                    metadata = message.get("metadata") or {}
                    payload = metadata.get("event_payload") or {}
                    if metadata.get("event_type") == EVENT_TYPE and payload.get("key") == key:
                        return str(PostedMessage(channel=channel_id, ts=str(message["ts"])))
        return None

    def examine(self, place: str) -> Iterator[Finding]:
        """Look at credentials, scopes and the channel."""
        try:
            yield from self._examine(place)
        except LastmileError as error:
            yield Finding("request", False, error.headline, error.hint)

    def _examine(self, place: str) -> Iterator[Finding]:
        with self._reporting("say who we are"):
            answer = self._slack.auth_test()
        yield Finding("credentials", True, f"{answer.get('user')} in {answer.get('team')}")
        headers = {name.lower(): value for name, value in answer.headers.items()}
        yield from _scopes(headers.get("x-oauth-scopes"))
        if place:
            yield self._examine_channel(place)

    def _examine_channel(self, place: str) -> Finding:
        with self._reporting(f"look for {place}"):
            channel_id = self._channel_id(place)
            if channel_id is None:
                return Finding(
                    "channel", False, f"there is no channel {place} that this app can see",
                    "Correct its name, or invite the app to it: /invite @<app>.",
                )  # fmt: skip
            channel = self._slack.conversations_info(channel=channel_id)["channel"]
        if channel.get("is_archived"):
            return Finding("channel", False, f"{place} is archived", "Name another channel.")
        if not channel.get("is_member"):
            return Finding(
                "channel", False, f"the app is not in {place}", "Invite it there: /invite @<app>."
            )
        return Finding("channel", True, f"the app is in {place}")

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
    def _slack(self) -> "WebClient":
        from slack_sdk import WebClient

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
        from slack_sdk.errors import SlackApiError, SlackClientError

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


def _metadata(key: str) -> dict[str, Any]:
    return {"event_type": EVENT_TYPE, "event_payload": {"key": key}}


def _scopes(granted: str | None) -> Iterator[Finding]:
    """Say which scopes are missing; Slack names those it granted in a header of every answer."""
    if granted is None:
        return
    has = {scope for scope in re.split(r"[,\s]+", granted) if scope}
    lacks = {scope: harm for scope, harm in SCOPES.items() if scope not in has}
    if not lacks:
        yield Finding("scopes", True, ", ".join(SCOPES))
    for scope, harm in lacks.items():
        yield Finding(
            "scopes", False, f"the app lacks {scope}: {harm}",
            "Add it under OAuth & Permissions of the app, and install the app again.",
        )  # fmt: skip


def _silent() -> logging.Logger:
    """The library logs whole answers, some as errors; what they mean for us is said by `_reporting`."""
    logger = logging.getLogger(f"{__name__}.sdk")
    logger.disabled = True
    return logger


def _raise_refusal(verb: str, error: "SlackApiError") -> NoReturn:
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
