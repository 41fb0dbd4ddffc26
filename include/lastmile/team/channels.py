"""The ways to the team: each takes a message of the outbox to one system, as a first word or as a reply."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from pydantic import SecretStr

from lastmile.errors import PermanentError, SettingsError
from lastmile.settings import connection_url
from lastmile.team.events import Action, Message
from lastmile.team.render.jira import jira_comment, jira_ticket, marker
from lastmile.team.render.slack import slack_message

if TYPE_CHECKING:
    from lastmile.clients.jira import JiraClient
    from lastmile.clients.slack import SlackClient

log = logging.getLogger(__name__)


class NoThreadError(PermanentError):
    """The message ends a story whose beginning was never sent: there is nothing to reply to."""


@dataclass(frozen=True, kw_only=True)
class Sending:
    """One message on its way."""

    key: str
    """The outbox entry's; the message carries it, so that it can be found again."""
    message: Message
    replies_to: str | None
    """Remote id of the first message of the incident in this channel."""
    earlier: str | None
    """Remote id of the newest message about the same cause, of an incident that is over."""
    unsettled: bool
    """An earlier attempt may have got through: look first."""
    written_at: datetime


class Channel(Protocol):
    """One system, with an account."""

    def send(self, sending: Sending) -> str:
        """Send a message, unless it stands there already; returns its remote id.

        Raises:
            NotTakenError: Not taken; worth another try.
            UnansweredError: Perhaps taken; the next try is to say `unsettled`.
            SettingsError: The account is wrong.
            NoThreadError: There is nothing to reply to.
            PermanentError: Refused for good.
        """
        ...


class JiraChannel:
    """One ticket per cause; what comes later is a comment on it. The remote id is the ticket's key."""

    def __init__(self, client: "JiraClient") -> None:
        self._client = client

    def send(self, sending: Sending) -> str:
        """Make the ticket of a cause, or comment on the one there is."""
        message = sending.message
        ticket = sending.replies_to or self._standing(sending)
        if ticket is None and message.action is Action.RECOVERED:
            raise NoThreadError("no ticket was ever made for it")
        if ticket is None:
            new = jira_ticket(message, sending.key)
            return self._client.create(
                _tracker(message), new.issue_types, new.summary, new.description, new.labels
            )
        if not (sending.unsettled and self._client.holds(ticket, marker(sending.key))):
            self._client.comment(ticket, jira_comment(message, sending.key))
        return ticket

    def _standing(self, sending: Sending) -> str | None:
        """Return the open ticket of the cause: the one we know, else what the search knows, which lags."""
        if sending.earlier and self._client.is_open(sending.earlier):
            return sending.earlier
        return self._client.find(_tracker(sending.message), sending.message.label)


class SlackChannel:
    """One thread per cause. The remote id is the channel's id and the message's timestamp."""

    def __init__(self, client: "SlackClient") -> None:
        self._client = client

    def send(self, sending: Sending) -> str:
        """Post the first message of a cause, or reply in its thread."""
        from lastmile.clients.slack import PostedMessage

        if sending.replies_to is None and sending.message.action is Action.RECOVERED:
            raise NoThreadError("no message was ever posted for it")
        root = PostedMessage.parse(sending.replies_to) if sending.replies_to else None
        channel = root.channel if root else _channel(sending.message)
        thread = root.ts if root else None
        if sending.unsettled and (standing := self._look(channel, sending, thread)):
            return standing
        content = slack_message(sending.message)
        posted = self._client.post(channel, content.text, content.blocks, sending.key, thread)
        return str(posted)

    def _look(self, channel: str, sending: Sending, thread: str | None) -> str | None:
        try:
            found = self._client.find(
                channel, sending.key, sending.written_at.timestamp() - 60, thread
            )
        except SettingsError as error:  # a bot may be allowed to write but not to read
            log.warning("%s The message may come twice.", error)
            return None
        return str(found) if found else None


def open_channels() -> dict[str, Channel | SettingsError | None]:
    """Return each channel that has an account; None without one; the error where it is wrong."""
    return {name: _open(name, connect) for name, connect in CONNECT.items()}


def _open(name: str, connect: Callable[[SecretStr], Channel]) -> Channel | SettingsError | None:
    try:
        url = connection_url(name)
    except SettingsError:
        return None
    try:
        return connect(url)
    except SettingsError as error:
        return error


def _connect_jira(url: SecretStr) -> Channel:
    from lastmile.clients.jira import JiraAccount, JiraClient

    return JiraChannel(JiraClient(JiraAccount.parse(url)))


def _connect_slack(url: SecretStr) -> Channel:
    from lastmile.clients.slack import SlackAccount, SlackClient

    return SlackChannel(SlackClient(SlackAccount.parse(url)))


CONNECT: dict[str, Callable[[SecretStr], Channel]] = {
    "jira": _connect_jira,
    "slack": _connect_slack,
}
"""How each channel is opened with the URL of the connection of the same name."""


def destination(channel: str, message: Message) -> str:
    """Say where a message goes, in words."""
    event = message.event
    if channel == "jira":
        return f"Jira ticket in {event.tracker}" if event.tracker else "Jira ticket"
    return f"Slack message to #{event.channel.lstrip('#')}" if event.channel else "Slack message"


def names_destination(channel: str, message: Message) -> bool:
    """Tell whether the pipeline says where in this system to."""
    return bool(message.event.tracker if channel == "jira" else message.event.channel)


def _tracker(message: Message) -> str:
    if not message.event.tracker:
        raise PermanentError("The pipeline names no project.", "Set team.tracker.")
    return message.event.tracker


def _channel(message: Message) -> str:
    if not message.event.channel:
        raise PermanentError("The pipeline names no channel.", "Set team.channel.")
    return message.event.channel
