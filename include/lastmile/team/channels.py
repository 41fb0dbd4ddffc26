"""The ways to the team: each takes a message of the outbox to one system, as a first word or as a reply.

A way is a tracker or a chat, whichever kind it is; its name is the kind's.
"""

import hashlib
import logging
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from lastmile.clients.chat import Chat, ChatSettings
from lastmile.clients.kinds import CHATS, TRACKERS, Chats, Trackers
from lastmile.clients.tracker import NewTicket, Ticket, TicketKind, Tracker, TrackerSettings
from lastmile.errors import PermanentError, SettingsError
from lastmile.settings import connection_url
from lastmile.team.events import Action, Event, Kind, Message
from lastmile.team.render.story import story, ticket_title

log = logging.getLogger(__name__)

DEFAULT_TRACKER = TRACKERS[0]
DEFAULT_CHAT = CHATS[0]
"""Where a destination goes that names no kind."""

KINDS = {
    Kind.FAILURE: TicketKind.FAULT,
    Kind.REJECTION: TicketKind.TASK,
    Kind.NEEDS_HUMAN: TicketKind.TASK,
}
"""What a ticket is about; else it is kept for the record. A rejected model is a task, not a bug."""


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


class TrackerChannel:
    """One ticket per cause; what comes later is a comment on it. The remote id is the ticket's."""

    def __init__(self, name: str, tracker: Tracker) -> None:
        self._name = name
        self._tracker = tracker

    def send(self, sending: Sending) -> str:
        """Make the ticket of a cause, or comment on the one there is."""
        message = sending.message
        ticket = sending.replies_to or self._standing(sending)
        if ticket is None and message.action is Action.RECOVERED:
            raise NoThreadError("no ticket was ever made for it")
        if ticket is None:
            return self._tracker.create(new_ticket(self._name, message, sending.key))
        mark = marker(sending.key)
        if not (sending.unsettled and self._tracker.holds(ticket, mark)):
            self._tracker.comment(ticket, story(message), f"{message.label} · {mark}")
        return ticket

    def _standing(self, sending: Sending) -> str | None:
        """Return the open ticket of the cause: the one we know, else what the search knows, which lags."""
        if sending.earlier and _is_open(self._tracker.read(sending.earlier)):
            return sending.earlier
        place = _place_or_raise(self._name, sending.message)
        found = self._tracker.find(place, sending.message.label)
        return found.id if found is not None and found.is_open else None


def _is_open(ticket: Ticket | None) -> bool:
    return ticket is not None and ticket.is_open


class ChatChannel:
    """One thread per cause. The remote id is the message's."""

    def __init__(self, name: str, chat: Chat) -> None:
        self._name = name
        self._chat = chat

    def send(self, sending: Sending) -> str:
        """Post the first message of a cause, or reply in its thread."""
        if sending.replies_to is None and sending.message.action is Action.RECOVERED:
            raise NoThreadError("no message was ever posted for it")
        place = _place_or_raise(self._name, sending.message)
        if sending.unsettled and (standing := self._look(place, sending)):
            return standing
        return self._chat.post(place, story(sending.message), sending.key, sending.replies_to)

    def _look(self, place: str, sending: Sending) -> str | None:
        since = sending.written_at.timestamp() - 60
        try:
            return self._chat.find(place, sending.key, since, sending.replies_to)
        except SettingsError as error:  # a bot may be allowed to write but not to read
            log.warning("%s The message may come twice.", error)
            return None


def marker(key: str) -> str:
    """Return what tells one of our messages among all others: it stands at the message's end."""
    return f"message {hashlib.sha256(key.encode()).hexdigest()[:12]}"


def new_ticket(channel: str, message: Message, key: str) -> NewTicket:
    """Return the ticket of a cause; `key` is the outbox entry's."""
    event = message.event
    return NewTicket(
        place=_place_or_raise(channel, message),
        title=ticket_title(message),
        story=story(message),
        marker=marker(key),
        label=message.label,
        labels=("lastmile", event.kind.replace("_", "-"), event.pipeline),
        kind=KINDS.get(event.kind, TicketKind.RECORD),
    )


def open_channels() -> dict[str, Channel | SettingsError | None]:
    """Return each channel that has an account; None without one; the error where it is wrong."""
    return {name: _open(name, settings) for name, settings in _kinds().items()}


def _kinds() -> dict[str, TrackerSettings | ChatSettings]:
    return {**dict(Trackers()), **dict(Chats())}


def _open(name: str, settings: TrackerSettings | ChatSettings) -> Channel | SettingsError | None:
    try:
        url = connection_url(name)
    except SettingsError:
        return None
    try:
        if isinstance(settings, TrackerSettings):
            return TrackerChannel(name, settings.open(url))
        return ChatChannel(name, settings.open(url))
    except SettingsError as error:
        return error


def channels_of(event: Event) -> tuple[str, str]:
    """Return the tracker's and the chat's channel that an event is told through."""
    tracker, _ = parted(event.tracker, TRACKERS, DEFAULT_TRACKER)
    chat, _ = parted(event.channel, CHATS, DEFAULT_CHAT)
    return tracker, chat


def parted(destination: str | None, kinds: tuple[str, ...], default: str) -> tuple[str, str]:
    """Part a destination, `RISK` or `github:acme/models`, into its kind and its place."""
    kind, colon, place = (destination or "").partition(":")
    return (kind, place) if colon and kind in kinds else (default, destination or "")


def place_of(channel: str, event: Event) -> str:
    """Return where in a channel's system an event is told; empty: nowhere."""
    if channel in TRACKERS:
        kind, place = parted(event.tracker, TRACKERS, DEFAULT_TRACKER)
    else:
        kind, place = parted(event.channel, CHATS, DEFAULT_CHAT)
    return place if kind == channel else ""


def destination(channel: str, message: Message) -> str:
    """Say where a message goes, in words."""
    settings, place = _kinds().get(channel), place_of(channel, message.event)
    title = settings.title if settings else channel
    if isinstance(settings, TrackerSettings):
        return f"{title} {settings.ticket} in {place}" if place else f"{title} {settings.ticket}"
    return f"{title} message to #{place.lstrip('#')}" if place else f"{title} message"


def names_destination(channel: str, message: Message) -> bool:
    """Tell whether the pipeline says where in this system to."""
    return bool(place_of(channel, message.event))


def _place_or_raise(channel: str, message: Message) -> str:
    place = place_of(channel, message.event)
    if not place:
        key, what = ("tracker", "project") if channel in TRACKERS else ("channel", "channel")
        raise PermanentError(f"The pipeline names no {what}.", f"Set team.{key}.")
    return place
