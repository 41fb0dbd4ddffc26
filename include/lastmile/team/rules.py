"""The team file, `include/team.yaml`: whose what is, who is told where, how much it matters, who is spared.

A pipeline file's `team:` goes before what stands here.
"""

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from fnmatch import fnmatchcase
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, WithJsonSchema

from lastmile.clients.kinds import CHATS, TRACKERS, Chats, Trackers
from lastmile.clients.tracker import Severity
from lastmile.pipeline.base import Strict
from lastmile.team.events import Event, Kind
from lastmile.team.places import named

_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def _duration(value: Any) -> Any:
    if isinstance(value, timedelta):
        return value
    match = re.fullmatch(r"(\d{1,4})([mhd])", value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("expected a number and a unit, as in 30m, 2h or 14d")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def _as_written(value: timedelta) -> str:
    minutes = int(value.total_seconds()) // 60
    unit, size = next((u, m) for u, m in (("d", 1440), ("h", 60), ("m", 1)) if minutes % m == 0)
    return f"{minutes // size}{unit}"


def _clock(value: Any) -> Any:
    if isinstance(value, time):
        return value
    match = re.fullmatch(r"([01]\d|2[0-3]):([0-5]\d)", value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("expected a time of day in quotes, as in '22:00'")
    return time(int(match[1]), int(match[2]))


def _day(value: Any) -> Any:
    if isinstance(value, date):
        return value
    try:
        return date.fromisoformat(value)
    except (TypeError, ValueError):
        raise ValueError("expected a day, as in 2026-12-31") from None


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError):
        raise ValueError(
            f"there is no time zone {value!r}; expected one as Europe/Berlin"
        ) from None
    return value


def _tracker(value: str) -> str:
    return named(value, TRACKERS)


def _chat(value: str) -> str:
    return named(value, CHATS)


def _text_as(pattern: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": pattern})


Duration = Annotated[
    timedelta,
    BeforeValidator(_duration),
    PlainSerializer(_as_written, when_used="json"),
    _text_as(r"^\d{1,4}[mhd]$"),
]
Clock = Annotated[time, BeforeValidator(_clock), _text_as(r"^([01]\d|2[0-3]):[0-5]\d$")]
Day = Annotated[date, BeforeValidator(_day), _text_as(r"^\d{4}-\d\d-\d\d$")]
TrackerPlace = Annotated[str, AfterValidator(_tracker)]
ChatPlace = Annotated[str, AfterValidator(_chat)]
Pattern = Annotated[str, Field(min_length=1)]
"""A name, where `*` stands for any characters."""


class Owner(Strict):
    """One team."""

    accounts: dict[str, str] = Field(default_factory=dict)
    """Who answers for it in each system, by its kind: an e-mail address or login in a tracker (who gets
    the tickets), a member's id in a chat (who is called when nobody takes an incident up)."""
    tracker: TrackerPlace | None = None
    """Where its tickets go, as `RISK` or `github:acme/models`."""
    channel: ChatPlace | None = None
    """Where its messages go, as `risk-models` or `teams:models`."""


class SeverityRule(Strict):
    """How much some incidents matter. All that is given must fit; the first rule that fits counts."""

    kind: Kind | None = None
    """What happened."""
    pipeline: Pattern = "*"
    """Pipelines, with `*` for any characters."""
    stage: Pattern = "*"
    """Stages."""
    error: Pattern = "*"
    """Classes of errors, as `DataError`."""
    severity: Severity
    """What they are then."""

    def fits(self, event: Event) -> bool:
        """Tell whether the rule is about this event."""
        return (
            (self.kind is None or self.kind is event.kind)
            and fnmatchcase(event.pipeline, self.pipeline)
            and fnmatchcase(event.stage, self.stage)
            and fnmatchcase(event.error_class, self.error)
        )


class QuietHours(Strict):
    """When the chat stays silent: what happens then is told at their end. Trackers do not ring."""

    begin: Clock
    """Time of day, as '22:00'."""
    end: Clock
    """Time of day, as '06:00'; before `begin` it is the next day's."""
    zone: Annotated[str, AfterValidator(_zone)] = "UTC"
    """Time zone, as Europe/Berlin."""
    loud_from: Severity = Severity.CRITICAL
    """What matters so much is told all the same."""

    def end_of(self, now: datetime) -> datetime | None:
        """Return when the quiet hours end that it is in, or None outside of them."""
        here = now.astimezone(ZoneInfo(self.zone))
        moment, is_over_night = here.time(), self.end <= self.begin
        if is_over_night:
            is_quiet = moment >= self.begin or moment < self.end
        else:
            is_quiet = self.begin <= moment < self.end
        if not is_quiet:
            return None
        day = here.date() + timedelta(days=int(is_over_night and moment >= self.begin))
        return datetime.combine(day, self.end, here.tzinfo).astimezone(UTC)


class Escalation(Strict):
    """Who is told when nobody has taken an incident up."""

    after: Duration
    """So long after it was opened, as 2h."""
    severity: Severity = Severity.HIGH
    """What matters at least so much."""
    channel: ChatPlace | None = None
    """A further channel that is told then; the incident's own thread is in any case."""
    accounts: dict[str, str] = Field(default_factory=dict)
    """Who is called there by name, by kind of chat; else whoever answers for the owner."""


class Silence(Strict):
    """What nobody needs to be told of for now. It is recorded and listed all the same."""

    pipeline: Pattern = "*"
    """Pipelines, with `*` for any characters."""
    stage: Pattern = "*"
    """Stages."""
    error: Pattern = "*"
    """Classes of errors."""
    ticket: Annotated[str, Field(min_length=1)]
    """Where the reason stands and somebody works at it."""
    until: Day
    """The last day. After it the silence is a fault in this file."""

    @property
    def ends_at(self) -> datetime:
        """The moment it ends."""
        return datetime.combine(self.until + timedelta(days=1), time(), UTC)

    def fits(self, event: Event, now: datetime) -> bool:
        """Tell whether nobody is to be told of this event now."""
        return (
            now < self.ends_at
            and fnmatchcase(event.pipeline, self.pipeline)
            and fnmatchcase(event.stage, self.stage)
            and fnmatchcase(event.error_class, self.error)
        )


DEFAULT_SEVERITIES = (
    SeverityRule(kind=Kind.FAILURE, stage="deploy", severity=Severity.HIGH),
    SeverityRule(kind=Kind.FAILURE, severity=Severity.MEDIUM),
    SeverityRule(kind=Kind.NEEDS_HUMAN, severity=Severity.MEDIUM),
    SeverityRule(kind=Kind.REJECTION, severity=Severity.MEDIUM),
    SeverityRule(severity=Severity.LOW),
)
"""What counts where the file has no rule that fits."""


class TeamRules(Strict):
    """All of the team file."""

    owners: dict[str, Owner] = Field(default_factory=dict)
    """Each team, by the name that pipeline files give as `owner`."""
    trackers: Trackers = Trackers()
    """Where tickets go when neither pipeline nor owner says so, and how each tracker is used."""
    chats: Chats = Chats()
    """Where messages go when neither pipeline nor owner says so, and how each chat is used."""
    severity: tuple[SeverityRule, ...] = ()
    """How much what matters; the first rule that fits counts."""
    quiet_hours: QuietHours | None = None
    """When the chat stays silent; null: never."""
    escalation: Escalation | None = None
    """Who is told when nobody takes an incident up; null: nobody."""
    silences: tuple[Silence, ...] = ()
    """What nobody needs to be told of for now."""
    reopen_within: Duration = timedelta(days=14)
    """A cause that comes back so soon goes on in its old ticket and thread, as 14d."""

    def routed(self, event: Event) -> Event:
        """Return the event with its severity, and with where it is told filled in."""
        owner = self.owners.get(event.owner, Owner())
        return event.model_copy(
            update={
                "severity": self.severity_of(event),
                "tracker": event.tracker or owner.tracker or _default_place(self.trackers),
                "channel": event.channel or owner.channel or _default_place(self.chats),
            }
        )

    def severity_of(self, event: Event) -> Severity:
        """Return how much an event matters."""
        rules = (*self.severity, *DEFAULT_SEVERITIES)
        return next(rule.severity for rule in rules if rule.fits(event))

    def silence_of(self, event: Event, now: datetime) -> Silence | None:
        """Return the silence that keeps an event quiet, if one does."""
        return next((silence for silence in self.silences if silence.fits(event, now)), None)

    def may_ring_at(self, severity: Severity, now: datetime) -> datetime:
        """Return from when on the chat may be told: now, or the end of the quiet hours."""
        quiet = self.quiet_hours
        if quiet is None or severity.rank >= quiet.loud_from.rank:
            return now
        return quiet.end_of(now) or now

    def account_of(self, owner: str, kind: str) -> str:
        """Return who answers for an owner in a system; empty where the file does not say."""
        return self.owners.get(owner, Owner()).accounts.get(kind, "")

    def faults(self, today: date) -> Iterator[tuple[tuple[str | int, ...], str, str]]:
        """Yield what is wrong today with a file that can be read: the place, what, and a hint."""
        for number, silence in enumerate(self.silences):
            if silence.until < today:
                yield (
                    ("silences", number, "until"),
                    f"this silence ended on {silence.until}",
                    f"Take it out, or give it another day if {silence.ticket} is still open.",
                )
        for name, owner in self.owners.items():
            for kind in owner.accounts:
                if kind not in (*TRACKERS, *CHATS):
                    yield (
                        ("owners", name, "accounts", kind),
                        f"there is no tracker or chat {kind!r}",
                        f"Allowed: {', '.join((*TRACKERS, *CHATS))}.",
                    )


def _default_place(kinds: Trackers | Chats) -> str | None:
    """Return the place of the first kind that the file gives one, with the kind's name before it."""
    for kind, settings in kinds:
        if place := settings.place():
            return f"{kind}:{place}"
    return None
