"""The ways to the team: each takes a message of the outbox to one system, as a first word or as a reply.

A way is a tracker or a chat, whichever kind it is; its name is the kind's.
"""

import hashlib
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from lastmile.clients.answers import HalfDoneError
from lastmile.clients.chat import Chat
from lastmile.clients.kinds import TRACKERS
from lastmile.clients.story import Story, cut
from lastmile.clients.tracker import (
    NewTicket,
    Severity,
    Ticket,
    TicketKind,
    Tracker,
    TrackerSettings,
)
from lastmile.errors import PermanentError, SettingsError, TransientError
from lastmile.settings import connection_url
from lastmile.team.events import Action, Kind, Message
from lastmile.team.places import key_of, kind_settings, place_of
from lastmile.team.render.story import state_of, story, ticket_title
from lastmile.team.rules import TeamRules

if TYPE_CHECKING:
    from lastmile.clients.chat import ChatSettings
    from lastmile.ledger.incidents import Incident
    from lastmile.ledger.threads import Thread

log = logging.getLogger(__name__)

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
    incident: "Incident"
    """The incident as it stands now."""
    latest: "Incident"
    """The newest one of the same cause: what is shown of the state is its."""
    opening: Message
    """That one's first message in this channel."""
    thread: "Thread | None"
    """Where the cause is told in this channel."""
    may_go_on: bool
    """Whether a story that was over may go on in its old ticket and thread."""
    unsettled: bool
    """An earlier attempt may have got through: look first."""
    written_at: datetime
    links: tuple[tuple[str, str], ...] = ()
    """Where else the cause is told: label and address."""
    account: str = ""
    """Whom it is for in this system."""
    report: Callable[[], bytes | None] = lambda: None
    """Reads the run's report, where it has one."""

    @property
    def is_first_word(self) -> bool:
        """Whether nothing of this incident was said in this channel yet."""
        return self.thread is None or self.thread.incident_id < self.incident.id


class Channel(Protocol):
    """One system, with an account."""

    def send(self, sending: Sending) -> str:
        """Send a message, unless it stands there already; returns the remote id of ticket or thread.

        Raises:
            NotTakenError: Not taken; worth another try.
            UnansweredError: Perhaps taken; the next try is to say `unsettled`.
            SettingsError: The account is wrong.
            HalfDoneError: The words stand there; the next try is to do the rest.
            NoThreadError: There is nothing to reply to.
            PermanentError: Refused for good.
        """
        ...


class TrackerChannel:
    """One ticket per cause; what comes later is a comment on it. The remote id is the ticket's."""

    def __init__(self, name: str, tracker: Tracker) -> None:
        self._name = name
        self.tracker = tracker

    def send(self, sending: Sending) -> str:
        """Make the ticket of a cause, or bring the one there is up to date."""
        ticket = self._standing(sending)
        action = sending.message.action
        if ticket is None and action in {Action.RECOVERED, Action.UPDATED}:
            raise NoThreadError("no ticket was ever made for it")
        if ticket is None:
            made = self.tracker.create(new_ticket(self._name, sending))
            return self._follow_up(sending, made)
        if action is not Action.UPDATED:
            self._say(sending, ticket)
        title = counted(ticket.title, sending.latest.occurrences)
        return self._follow_up(sending, ticket.id, title if title != ticket.title else None)

    def _standing(self, sending: Sending) -> Ticket | None:
        """Return the ticket that the story goes on in: the one we know, else what the search knows."""
        if sending.thread is not None:
            known = self.tracker.read(sending.thread.remote_id)
            if known is not None and (known.is_open or sending.may_go_on):
                return known
            if not sending.is_first_word and sending.message.action is Action.RECOVERED:
                return known
        place = _place_or_raise(self._name, sending.message)
        found = self.tracker.find(place, sending.message.label)
        if found is None or found.is_open:
            return found
        # Done already, and not by us: only where an attempt to make it was not answered is it ours.
        is_ours = sending.unsettled and self.tracker.holds(found.id, marker(sending.key))
        return found if is_ours else None

    def _say(self, sending: Sending, ticket: Ticket) -> None:
        mark = marker(sending.key)
        is_said = sending.unsettled and self.tracker.holds(ticket.id, mark)
        is_over = sending.message.action is Action.RECOVERED
        if not ticket.is_open and not is_over and sending.latest.status == "open":
            with _good_to_have():
                self.tracker.reopen(ticket.id)
        if not is_said:
            told = _told(sending)
            self.tracker.comment(ticket.id, told, f"{sending.message.label} · {mark}")

    def _follow_up(self, sending: Sending, ticket: str, title: str | None = None) -> str:
        """Do what goes with the words; all of it may be done twice.

        Args:
            sending: The message.
            ticket: Where it stands.
            title: The ticket's new one, with the count. What a person has made of the rest stays.

        Raises:
            HalfDoneError: Some of it has to be done again.
        """
        message = sending.message
        if title is not None:
            with _good_to_have(ticket):
                self.tracker.retitle(ticket, title)
        if message.action is Action.OPENED and (content := sending.report()) is not None:
            name = re.sub(r"[^\w.+-]+", "_", f"report-{message.event.run_id[:60]}.html")
            with _good_to_have(ticket):
                self.tracker.attach(ticket, name, content)
        # An announcement is kept for the record: nothing is to be done.
        if message.action is Action.RECOVERED or sending.incident.status == "noted":
            with _good_to_have(ticket):
                self.tracker.close(ticket)
        return ticket


@contextmanager
def _good_to_have(remote_id: str | None = None) -> Iterator[None]:
    """Do what goes with words: where it is refused, what had to be said is said all the same.

    Args:
        remote_id: Where the words stand; None: they are still to be said.

    Raises:
        HalfDoneError: It could not be done now, and the words stand there.
        TransientError: It could not be done now, and nothing was said.
    """
    try:
        yield
    except PermanentError as error:
        log.warning("%s %s", error.headline, error.hint)
    except TransientError as error:
        if remote_id is None:
            raise
        pause = getattr(error, "retry_after", None)
        raise HalfDoneError(error.headline, remote_id, pause) from error


class ChatChannel:
    """One thread per cause; its first message shows the state now. The remote id is that message's."""

    def __init__(self, name: str, chat: Chat) -> None:
        self._name = name
        self._chat = chat

    def send(self, sending: Sending) -> str:
        """Post the first message of a cause, or reply in its thread and bring the first up to date."""
        place = _place_or_raise(self._name, sending.message)
        root = self._root(sending, place)
        if root is None and sending.message.action in {Action.RECOVERED, Action.UPDATED}:
            raise NoThreadError("no message was ever posted for it")
        if sending.message.action is Action.UPDATED and root is not None:
            with _good_to_have():
                self._show_state(sending, root)
            return root.remote_id
        standing = self._look(place, sending, root) if sending.unsettled else None
        posted = standing or self._chat.post(
            place,
            self._words(sending, root),
            sending.key,
            root.remote_id if root else None,
            aloud=root is not None and _is_loud(sending),
        )
        if root is None:
            return posted
        with _good_to_have(root.remote_id):
            self._show_state(sending, root)
        return root.remote_id

    def _root(self, sending: Sending, place: str) -> "Thread | None":
        """Return the thread that the story goes on in."""
        thread = sending.thread
        if thread is None or not self._chat.can_look_back:
            return thread
        is_elsewhere = thread.place != place  # the pipeline moved, or it is passed on to others
        if is_elsewhere and (sending.is_first_word or sending.message.action is Action.ESCALATED):
            return None
        return thread if sending.may_go_on or not sending.is_first_word else None

    def _words(self, sending: Sending, root: "Thread | None") -> Story:
        told = _told(sending)
        if root is None and sending.message.action is not Action.ESCALATED:
            return replace(told, state=state_of(sending.latest), links=_links(told, sending))
        return told

    def _show_state(self, sending: Sending, root: "Thread") -> None:
        told = story(sending.opening)
        shown = replace(told, state=state_of(sending.latest), links=_links(told, sending))
        self._chat.update(root.remote_id, shown, root.key)

    def _look(self, place: str, sending: Sending, root: "Thread | None") -> str | None:
        if not self._chat.can_look_back:
            log.warning("%s cannot be searched. The message may come twice.", self._name)
            return None
        since = sending.written_at.timestamp() - 60
        try:
            return self._chat.find(place, sending.key, since, root.remote_id if root else None)
        except SettingsError as error:  # a bot may be allowed to write but not to read
            log.warning("%s The message may come twice.", error)
            return None


def marker(key: str) -> str:
    """Return what tells one of our messages among all others: it stands at the message's end."""
    return f"message {hashlib.sha256(key.encode()).hexdigest()[:12]}"


def new_ticket(channel: str, sending: Sending) -> NewTicket:
    """Return the ticket of a cause."""
    message, event = sending.message, sending.message.event
    return NewTicket(
        place=_place_or_raise(channel, message),
        title=counted(ticket_title(message), sending.incident.occurrences),
        story=_told(sending),
        marker=marker(sending.key),
        label=message.label,
        labels=("lastmile", event.kind.replace("_", "-"), event.pipeline),
        kind=KINDS.get(event.kind, TicketKind.RECORD),
        severity=Severity(sending.incident.severity),
        assignee=sending.account,
    )


_COUNT = re.compile(r" \(\d+ times\)$")
LONGEST_TITLE = 230
"""Leaves room for the count within the limit of every tracker."""


def counted(title: str, times: int) -> str:
    """Return a title with how often it was seen at its end, in place of an earlier count."""
    bare = cut(_COUNT.sub("", title), LONGEST_TITLE)
    return f"{bare} ({times} times)" if times > 1 else bare


def open_channels(rules: TeamRules | None = None) -> dict[str, Channel | SettingsError | None]:
    """Return each channel that has an account; None without one; the error where it is wrong."""
    rules = rules or TeamRules()
    kinds = kind_settings(rules.trackers, rules.chats)
    return {name: _open(name, settings) for name, settings in kinds.items()}


def _open(name: str, settings: "TrackerSettings | ChatSettings") -> Channel | SettingsError | None:
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


def names_destination(channel: str, message: Message) -> bool:
    """Tell whether it is said where in this system to."""
    return bool(place_of(channel, message.event))


def _place_or_raise(channel: str, message: Message) -> str:
    place = place_of(channel, message.event)
    if not place:
        what = "project" if channel in TRACKERS else "channel"
        raise PermanentError(f"The pipeline names no {what}.", f"Set team.{key_of(channel)}.")
    return place


def _is_loud(sending: Sending) -> bool:
    """Whether a reply is for everybody: the cause came back, or nobody took it up."""
    return sending.message.action is Action.ESCALATED or sending.is_first_word


def _told(sending: Sending) -> Story:
    told = story(sending.message)
    if sending.message.action is Action.ESCALATED and sending.account:
        return replace(told, calls=(sending.account,))
    return told


def _links(told: Story, sending: Sending) -> tuple[tuple[str, str], ...]:
    return (*sending.links, *told.links)
