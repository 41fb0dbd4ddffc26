"""Writes an event into the ledger, once. This is all that a callback does; delivery is another's work.

A callback may come twice, too early, or never: every event has a key, and a second report under the
same key changes nothing.
"""

import hashlib
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from lastmile.clients.kinds import CHATS, TRACKERS
from lastmile.clients.story import cut
from lastmile.clients.tracker import Severity
from lastmile.errors import LastmileError, StoreError
from lastmile.ledger.ledger import Ledger
from lastmile.pipeline.base import Strict
from lastmile.settings import load_settings
from lastmile.team.events import Action, Event, Kind, Message, clean, fingerprint
from lastmile.team.load import rules_or_default
from lastmile.team.places import channels_of
from lastmile.team.redact import known_secrets, redact
from lastmile.team.rules import TeamRules
from lastmile.team.spool import spool

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from lastmile.ledger.incidents import Incident
    from lastmile.pipeline.definition import Pipeline
    from lastmile.settings import Settings

log = logging.getLogger(__name__)

CALLBACK_SECONDS = 0.03
"""How long a busy ledger may keep a callback before the event goes to the spool."""

REPEAT_PAUSE = timedelta(hours=1)
"""A repeat is always counted, and told in words at most so often."""
UPDATE_PAUSE = timedelta(minutes=1)
"""How long a new count waits to be shown, so that a storm of repeats is one change."""

NO_TICKET = frozenset({Kind.UNCHANGED, Kind.DRY_RUN})
"""What is told in the chat alone: a run that changed nothing would be a ticket every night."""

FIRST_HALF = {"prepare", "train", "evaluate"}
"""The stages that every run passes that comes to a verdict."""
STAGES = FIRST_HALF | {"package", "deploy"}

LONGEST_KEY = 300
MOST_TRIES = 10


class RecordedIncident(Strict):
    """What recording an event came to."""

    incident_id: int
    is_known: bool
    """The event had been recorded before; nothing was written."""
    occurrences: int
    recovered: int = 0
    """How many open incidents this event ended."""


def stage_failure(
    pipeline: "Pipeline",
    run_id: str,
    stage: str,
    error: BaseException | None,
    links: dict[str, str] | None = None,
) -> Event:
    """Return the event of a stage that failed.

    Args:
        pipeline: Whose stage it was.
        run_id: The run.
        stage: The stage.
        error: What it ended with; None where nobody could say, as after SIGKILL.
        links: Where to look: label and address.
    """
    if isinstance(error, LastmileError):
        headline, hint = error.headline, error.hint
    elif error is not None:
        text = str(error).strip().splitlines() or [""]
        headline = f"{type(error).__name__}: {text[0]}".rstrip(": ")
        hint = "This was not foreseen: see the log, then report it as a bug in Lastmile."
    else:
        headline = f"The stage {stage} ended without a word."
        hint = "It may have been killed (out of memory?). See its log and the machine's, run again."
    return Event(
        kind=Kind.FAILURE,
        pipeline=pipeline.name,
        run_id=run_id,
        stage=stage,
        error_class="" if error is None else type(error).__name__,
        headline=headline,
        hint=hint,
        links=links or {},
        owner=pipeline.owner,
        tracker=pipeline.team.tracker,
        channel=pipeline.team.channel,
    )


def record(
    ledger: Ledger, event: Event, key: str, rules: TeamRules | None = None
) -> RecordedIncident:
    """Write an event into the ledger: its incident, its sighting and its messages, or none of them.

    Args:
        ledger: Where to.
        event: What happened. Secrets in it are hidden before it is stored.
        key: Names this event among all; a second report under it is harmless.
        rules: The team file's; None: those of this environment.

    Raises:
        StoreError: The ledger does not answer.
    """
    from sqlalchemy.exc import IntegrityError

    if rules is None:
        rules = rules_or_default(load_settings())
    event, key = rules.routed(presentable(event)), safe_key(key)
    for _ in range(MOST_TRIES):
        try:
            with ledger.begin() as connection:
                return _Recording(connection, rules, key, datetime.now(UTC)).record(event)
        except IntegrityError:  # another process wrote the same key or cause: then it is there now
            continue
    raise StoreError(
        f"The event {key} met another of the same cause {MOST_TRIES} times.", "Report it again."
    )


def record_safely(settings: "Settings", event: Event, key: str) -> RecordedIncident | None:
    """Do what `record` does, but never raise and never wait: for callbacks.

    Where the ledger cannot be written at once the event is spooled to a file in the home, and
    `lastmile.team.spool.sweep_spool` records it later; the answer is then None.
    """
    try:
        event = presentable(event)
        ledger = Ledger(settings.ledger, wait_seconds=CALLBACK_SECONDS)
        return record(ledger, event, key, rules_or_default(settings))
    except Exception as error:  # a callback must not fail, whatever broke
        log.warning("The ledger did not take the event %s (%s); it is spooled.", key, _said(error))
    try:
        spool(settings.home_path, event, key)
    except Exception as error:
        log.error("An event is lost, %s: %s (%s)", key, _said(event.headline), _said(error))
    return None


def is_recorded(ledger: Ledger, key: str) -> bool:
    """Tell whether an event has been reported under this key; for sweeps."""
    from lastmile.ledger.incidents import find_sighting

    with ledger.read() as connection:
        return find_sighting(connection, safe_key(key)) is not None


def presentable(event: Event) -> Event:
    """Return an event as it may be stored and sent: no secrets, no control characters, not too long."""
    known = known_secrets()
    return event.with_texts(lambda text: clean(redact(text, known)))


def safe_key(key: str) -> str:
    """Return a key that fits its column and tells any two keys apart."""
    if len(key) <= LONGEST_KEY and key == clean(key):
        return key
    digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{clean(key)[:200]}#{digest}"


@dataclass(frozen=True)
class _Recording:
    """One event on its way into the ledger, within one transaction."""

    connection: "Connection"
    rules: TeamRules
    key: str
    now: datetime

    def record(self, event: Event) -> RecordedIncident:
        """Write the incident, its sighting and its messages."""
        from lastmile.ledger import incidents as rows

        connection = self.connection
        if (known_id := rows.find_sighting(connection, self.key)) is not None:
            known = rows.read_incident(connection, known_id)
            return RecordedIncident(
                incident_id=known_id, is_known=True, occurrences=known.occurrences
            )
        if not event.impact:
            event = event.model_copy(update={"impact": _impact(connection, event)})
        cause = fingerprint(event)
        incident = rows.find_open(connection, cause) if event.kind.is_incident else None
        if incident is None:
            incident = self._open(event, cause)
            self._tell(Action.OPENED, event, incident)
        else:
            incident = self._silenced(rows.add_occurrence(connection, incident.id, self.now), event)
            self._tell(Action.REPEATED, event, incident)
        rows.add_sighting(connection, self.key, incident.id, self.now)
        return RecordedIncident(
            incident_id=incident.id,
            is_known=False,
            occurrences=incident.occurrences,
            recovered=self._recover(event),
        )

    def _open(self, event: Event, cause: str) -> "Incident":
        from lastmile.ledger import incidents as rows

        before = rows.find_newest(self.connection, cause) if event.kind.is_incident else None
        incident = rows.add_incident(
            self.connection,
            self.now,
            fingerprint=cause,
            pipeline=event.pipeline,
            kind=event.kind,
            status="open" if event.kind.is_incident else "noted",
            stage=event.stage,
            run_id=event.run_id,
            owner=event.owner,
            headline=event.headline,
            hint=event.hint,
            facts=event.facts,
            severity=event.severity or Severity.MEDIUM,
            # A silence is the cause's, not one incident's.
            silenced_until=before.silenced_until if before else None,
            silence=before.silence if before else None,
        )
        return self._silenced(incident, event)

    def _silenced(self, incident: "Incident", event: Event) -> "Incident":
        """Put the team file's silence on an incident, if there is one; take one off that is over."""
        from lastmile.ledger import incidents as rows

        if not event.kind.is_incident:
            return incident
        silence = self.rules.silence_of(event, self.now)
        if silence is not None:
            until, ticket = silence.ends_at, silence.ticket
        elif incident.silenced_until is not None and incident.silenced_until > self.now:
            return incident
        else:
            until, ticket = None, None
        if (until, ticket) != (incident.silenced_until, incident.silence):
            rows.set_silence(self.connection, incident.id, until, ticket)
        return incident.model_copy(update={"silenced_until": until, "silence": ticket})

    def _tell(self, action: Action, event: Event, incident: "Incident") -> None:
        """Write a message for each channel, unless nobody is to be told."""
        from lastmile.ledger import outbox

        if incident.silenced_until is not None:
            return
        tracker, chat = channels_of(event)
        for channel in (chat,) if incident.kind in NO_TICKET else (tracker, chat):
            said = action
            if action is Action.REPEATED and self._was_told_lately(incident, channel):
                if outbox.has_unbegun(self.connection, incident.id, channel):
                    continue  # what waits will show the count as it is then
                said = Action.UPDATED
            add_message(
                self.connection, self.rules, said, event, incident, channel, self.key, self.now
            )

    def _was_told_lately(self, incident: "Incident", channel: str) -> bool:
        from lastmile.ledger import outbox

        newest = outbox.newest_word_at(self.connection, incident.id, channel, {Action.UPDATED})
        return newest is not None and self.now - newest < REPEAT_PAUSE

    def _recover(self, event: Event) -> int:
        """End the open incidents that this event proves to be over; returns how many."""
        from lastmile.ledger import incidents as rows

        if event.kind is Kind.FAILURE:
            return 0
        over = [
            incident
            for incident in rows.find_open_of_pipeline(self.connection, event.pipeline)
            if _is_over(incident, event)
        ]
        for incident in over:
            end(self.connection, self.rules, incident, event, self.key, self.now)
        return len(over)


def end(
    connection: "Connection",
    rules: TeamRules,
    incident: "Incident",
    event: Event,
    key: str,
    now: datetime,
) -> None:
    """Say that an incident is over, wherever it was told of.

    Args:
        connection: The caller's transaction.
        rules: The team file's.
        incident: The incident.
        event: What ended it.
        key: That event's.
        now: The present.
    """
    from lastmile.ledger import incidents as rows
    from lastmile.ledger import outbox

    rows.set_recovered(connection, incident.id, now)
    for channel in (*TRACKERS, *CHATS):
        first = outbox.find_opening(connection, incident.id, channel)
        if first is not None:  # where it was not told, its end is no news
            there = _as_told(event, first.body.get("event", {}))
            add_message(connection, rules, Action.RECOVERED, there, incident, channel, key, now)


def _as_told(event: Event, first: dict[str, Any]) -> Event:
    """Return the event as of the places where the incident was told, should the pipeline have moved."""
    return event.model_copy(
        update={"tracker": first.get("tracker"), "channel": first.get("channel")}
    )


def add_message(
    connection: "Connection",
    rules: TeamRules,
    action: Action,
    event: Event,
    incident: "Incident",
    channel: str,
    key: str,
    now: datetime,
) -> None:
    """Write one message of an incident into the outbox. In quiet hours a chat's waits for their end."""
    from lastmile.ledger import incidents as rows
    from lastmile.ledger import outbox

    message = Message(
        action=action,
        event=event,
        fingerprint=incident.fingerprint,
        occurrences=incident.occurrences,
        opened_at=incident.opened_at,
        cause=incident.headline,
    )
    due = now if channel in TRACKERS else rules.may_ring_at(Severity(incident.severity), now)
    if action is Action.UPDATED:
        due = max(due, now + UPDATE_PAUSE)
    outbox.drop_unbegun(connection, incident.id, channel, Action.UPDATED)  # this one says as much
    rows.add_message(
        connection,
        f"{key}:{incident.id}:{channel}:{action}",
        incident.id,
        channel,
        action,
        message.model_dump(mode="json"),
        now,
        due,
    )


def show_anew(
    connection: "Connection", incident: "Incident", channels: Iterable[str], now: datetime
) -> None:
    """Let what was told of an incident show its state anew: a silence, a ticket that was made since."""
    from lastmile.ledger import incidents as rows
    from lastmile.ledger import outbox

    for channel in channels:
        first = outbox.find_opening(connection, incident.id, channel)
        if first is None or outbox.has_unbegun(connection, incident.id, channel):
            continue
        key = f"state:{incident.id}:{channel}:{now.isoformat()}"
        body = first.body | {"action": Action.UPDATED}
        rows.add_message(connection, key, incident.id, channel, Action.UPDATED, body, now, now)


def _impact(connection: "Connection", event: Event) -> str:
    from lastmile.ledger.incidents import find_champion

    champion = find_champion(connection, event.pipeline)
    if champion is None:  # what is no stage may be a house-keeping DAG's, which has no model
        return "No version of this model answers yet." if event.stage in STAGES else ""
    version, released_by = champion
    if released_by == event.run_id:  # it broke later, as in telling the team
        return f"Version {version} answers: this run released it before it failed."
    return f"Version {version} still answers; nothing was released."


def _is_over(incident: "Incident", event: Event) -> bool:
    """A release ends all trouble of its pipeline; a run that came to a verdict, what stopped it before."""
    if event.kind is Kind.RELEASE:
        return True
    if incident.kind == Kind.FAILURE:
        return incident.stage in FIRST_HALF
    return event.kind is Kind.UNCHANGED  # the rejected candidate is gone, the champion is confirmed


def _said(what: object) -> str:
    return cut(clean(redact(str(what), known_secrets())), 300)
