"""What Lastmile asks of a tracker, whichever it is. Each has one file beside this one.

A tracker's create has no idempotency key, and its search lags behind its writes. So a caller whose
create was not answered waits, looks with `find`, and only then tries again. Every text that we write
carries a marker, by which `holds` knows it again.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Protocol

from pydantic import SecretStr

from lastmile.clients.account import Finding
from lastmile.clients.story import Story
from lastmile.pipeline.base import Strict


class TicketKind(StrEnum):
    """What a ticket is about; each tracker has its own issue types or labels for it."""

    FAULT = "fault"
    """Something broke."""
    TASK = "task"
    """Nothing broke, and somebody has to decide or do something."""
    RECORD = "record"
    """A release, kept for the record."""


class Severity(StrEnum):
    """How much an incident matters, the least first."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """Its place in the order."""
        return list(Severity).index(self)


@dataclass(frozen=True, kw_only=True)
class NewTicket:
    """What a new ticket is made of. Whatever of it a system has no field for stands in its text."""

    place: str
    """Where to: a project's key, `owner/repository`, a board."""
    title: str
    """One line; a tracker cuts it to its own limit."""
    story: Story
    marker: str
    """Stands in the ticket's text."""
    label: str
    """The cause's: `find` finds the ticket by it."""
    labels: tuple[str, ...] = ()
    """Further labels; whoever reads tickets filters by them."""
    kind: TicketKind = TicketKind.FAULT
    severity: Severity = Severity.MEDIUM
    assignee: str = ""
    """Whom it is for, as the owner's file names the person: an e-mail address or a login.

    Where the system does not know the person, the ticket is made without an assignee.
    """


@dataclass(frozen=True, kw_only=True)
class Ticket:
    """A ticket as it stands now."""

    id: str
    """Names it among all of the account's tickets: `RISK-12`, `acme/models#12`."""
    title: str
    is_open: bool
    is_touched: bool = False
    """Somebody has taken it up: moved it on, or, where there are no statuses, taken it over or answered."""


class Tracker(Protocol):
    """One account of a tracker. Connects on first use.

    Every method raises, beside what it says itself:
        SettingsError: The account is wrong, or may not do this.
        NotTakenError: Surely not done; worth another try.
        UnansweredError: Perhaps done: look before trying again.
        PermanentError: Refused, and would be again.
    """

    def create(self, new: NewTicket) -> str:
        """Make a ticket; returns its id."""
        ...

    def find(self, place: str, label: str) -> Ticket | None:
        """Return the newest ticket with this label, an open one before one that is done. May lag."""
        ...

    def read(self, ticket: str) -> Ticket | None:
        """Return a ticket as it is now; None where it is gone. Does not lag."""
        ...

    def holds(self, ticket: str, marker: str) -> bool:
        """Tell whether the ticket's text or one of its newest comments carries this marker."""
        ...

    def comment(self, ticket: str, story: Story, marker: str) -> None:
        """Comment on a ticket."""
        ...

    def retitle(self, ticket: str, title: str) -> None:
        """Give a ticket another title."""
        ...

    def close(self, ticket: str) -> None:
        """Move a ticket to done; nothing happens where it is."""
        ...

    def reopen(self, ticket: str) -> None:
        """Move a ticket that is done back to work; nothing happens where it is open."""
        ...

    def attach(self, ticket: str, name: str, content: bytes) -> None:
        """Attach a file, unless one of that name is there. A system that takes no files does nothing."""
        ...

    def address(self, ticket: str) -> str:
        """Return where a person finds a ticket."""
        ...

    def examine(self, place: str) -> Iterator[Finding]:
        """Look whether all of the above would work in a place, and change nothing.

        Raises nothing for what is wrong: each fault is a finding, with the permission that is missing.
        """
        ...


class TrackerSettings(Strict, ABC):
    """The base of each kind's settings: what a team file may say of that tracker."""

    title: ClassVar[str]
    """Its name, as people write it."""
    ticket: ClassVar[str] = "ticket"
    """What it calls a ticket."""

    @abstractmethod
    def place(self) -> str:
        """Return where tickets go when neither pipeline nor route says so; empty: nowhere."""

    @abstractmethod
    def open(self, url: SecretStr) -> Tracker:
        """Return the tracker that a connection's URL names. Asks nothing yet.

        Raises:
            SettingsError: The URL is no account of this tracker. The headline does not repeat it.
        """
