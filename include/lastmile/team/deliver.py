"""Sends what waits in the outbox. Any number of deliverers may run at once."""

import logging
import random
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TextIO

from pydantic import ValidationError

from lastmile.clients.answers import HalfDoneError, NotTakenError, UnansweredError
from lastmile.clients.kinds import CHATS, TRACKERS
from lastmile.errors import LastmileError, SettingsError, TransientError
from lastmile.ledger.ledger import Ledger
from lastmile.pipeline.base import Strict
from lastmile.team.channels import (
    Channel,
    NoThreadError,
    Sending,
    TrackerChannel,
    names_destination,
    open_channels,
)
from lastmile.team.escalate import escalate
from lastmile.team.events import Action, Event, Message
from lastmile.team.evidence import read_report
from lastmile.team.load import rules_or_default
from lastmile.team.places import destination, key_of, place_of
from lastmile.team.record import show_anew
from lastmile.team.redact import known_secrets, redact
from lastmile.team.render.console import console_text
from lastmile.team.rules import TeamRules
from lastmile.team.spool import sweep_spool

if TYPE_CHECKING:
    from lastmile.ledger.incidents import OutboxEntry, OutboxStatus
    from lastmile.ledger.threads import Thread
    from lastmile.settings import Settings

log = logging.getLogger(__name__)

CLAIM_SECONDS = 300.0
"""Longer than sending one message can last: some requests, each with its time-outs."""
SETTLE_SECONDS = 60.0
"""After an answer that never came: Jira's search finds a new ticket only after a while."""
FIRST_PAUSE_SECONDS = 15.0
LONGEST_PAUSE_SECONDS = 1800.0
MOST_ATTEMPTS = 200
"""With the pauses between them about three days: an account may be wrong over a weekend."""


class DeliveryReport(Strict):
    """What one pass over the outbox came to."""

    sent: int = 0
    printed: int = 0
    postponed: int = 0
    dead: int = 0


def deliver_now(ledger: Ledger, settings: "Settings | None" = None) -> DeliveryReport:
    """Deliver what is due, with the accounts that the environment gives; the console is stderr.

    Given the settings, first record what was spooled.

    Raises:
        StoreError: The ledger does not answer.
    """
    if settings is None:
        return deliver(ledger, open_channels(), sys.stderr, datetime.now(UTC))
    rules = rules_or_default(settings)
    sweep_spool(settings.home_path, ledger, rules)
    channels = open_channels(rules)
    escalate(ledger, rules, channels, datetime.now(UTC))
    return deliver(
        ledger, channels, sys.stderr, datetime.now(UTC), rules, lambda e: read_report(e, settings)
    )


def deliver(
    ledger: Ledger,
    channels: Mapping[str, "Channel | SettingsError | None"],
    console: TextIO,
    now: datetime,
    rules: TeamRules | None = None,
    report_of: Callable[[Event], bytes | None] = lambda _: None,
) -> DeliveryReport:
    """Send what is due now, in order.

    Args:
        ledger: Whose outbox.
        channels: By name; None where there is no account: then the message goes to the console.
        console: Where messages without an account go.
        now: The present; it goes on while this works.
        rules: The team file's; None: as by default.
        report_of: Reads the report that an event links to.

    Raises:
        StoreError: The ledger does not answer.
    """
    from lastmile.ledger import outbox

    work = _Delivery(ledger, channels, console, rules or TeamRules(), report_of)
    began, started = now, time.monotonic()
    counts = {"sent": 0, "printed": 0, "postponed": 0, "dead": 0}
    resting: set[str] = set()
    while True:
        now = began + timedelta(seconds=time.monotonic() - started)
        with ledger.read() as connection:
            entry = outbox.next_due(connection, now, resting)
        if entry is None:
            return DeliveryReport(**counts)
        with ledger.begin() as connection:
            claimed = outbox.claim(connection, entry, now, CLAIM_SECONDS)
        if claimed is None:
            continue  # another deliverer has it
        outcome = work.deliver(claimed, now)
        counts[outcome] += 1
        if outcome == "postponed":
            resting.add(entry.channel)  # what hinders one message hinders the next: no hammering


@dataclass(frozen=True)
class _Delivery:
    """One pass over the outbox."""

    ledger: Ledger
    channels: Mapping[str, "Channel | SettingsError | None"]
    console: TextIO
    rules: TeamRules
    report_of: Callable[[Event], bytes | None]

    def deliver(self, entry: "OutboxEntry", now: datetime) -> str:
        """Send a claimed entry; returns what became of it."""
        try:
            message = Message.model_validate(entry.body)
        except ValidationError as error:
            reason = f"The entry is no message of this Lastmile: {error.error_count()} faults."
            return self._settle(entry, now, "dead", error=reason)
        channel = self.channels.get(entry.channel)
        if not names_destination(entry.channel, message):
            why = f"the pipeline names no team.{key_of(entry.channel)}"
            return self._print(entry, message, why, now)
        if channel is None:
            return self._print(entry, message, "no account", now)
        sending = self._sending(entry, message, now)
        try:
            remote_id = _send(channel, sending)
        except NoThreadError as error:
            return self._print(entry, message, error.headline, now)
        except HalfDoneError as error:
            self._keep(sending, entry, error.remote_id, now, is_done=False)
            return self._postpone(entry, error, now)
        except (TransientError, SettingsError) as error:
            # A wrong account is mended by its owner; what it could not send is kept until then.
            return self._postpone(entry, error, now)
        except LastmileError as error:
            return self._settle(entry, now, "dead", error=_reason(error))
        return self._keep(sending, entry, remote_id, now)

    def _sending(self, entry: "OutboxEntry", message: Message, now: datetime) -> Sending:
        from lastmile.ledger import incidents, outbox, threads

        with self.ledger.read() as connection:
            incident = incidents.read_incident(connection, entry.incident_id)
            known = {t.channel: t for t in threads.find_threads(connection, incident.fingerprint)}
            latest = incidents.find_newest(connection, incident.fingerprint) or incident
            first = outbox.find_opening(connection, latest.id, entry.channel)
        thread = known.pop(entry.channel, None)
        return Sending(
            key=entry.key,
            message=message,
            incident=incident,
            latest=latest,
            opening=_opening(first, message),
            thread=thread,
            may_go_on=thread is not None and now - thread.changed_at <= self.rules.reopen_within,
            unsettled=entry.unsettled,
            written_at=entry.created_at,
            links=tuple(self._links(known.values())),
            account=self._account(entry.channel, message),
            report=lambda: self.report_of(message.event),
        )

    def _account(self, channel: str, message: Message) -> str:
        if message.action is Action.ESCALATED and self.rules.escalation is not None:
            called = self.rules.escalation.accounts.get(channel)
            if called:
                return called
        return self.rules.account_of(message.event.owner, channel)

    def _links(self, others: Iterable["Thread"]) -> Iterator[tuple[str, str]]:
        """Yield where else the cause is told, as far as it has an address."""
        for thread in others:
            channel = self.channels.get(thread.channel)
            if isinstance(channel, TrackerChannel):
                yield f"Ticket {thread.remote_id}", channel.tracker.address(thread.remote_id)

    def _keep(
        self,
        sending: Sending,
        entry: "OutboxEntry",
        remote_id: str,
        now: datetime,
        is_done: bool = True,
    ) -> str:
        """Keep where a story is told, and settle its entry unless something is left to do."""
        from lastmile.ledger import outbox, threads

        before, message = sending.thread, sending.message
        is_new = before is None or before.remote_id != remote_id
        is_elsewhere = message.action is Action.ESCALATED and is_new and before is not None
        with self.ledger.begin() as connection:
            if is_done:
                is_ours = outbox.settle(connection, entry, now, "sent", remote_id)
            else:
                is_ours = outbox.is_held(connection, entry)
            if not is_ours:
                log.warning("Message %s was sent late; another deliverer has it.", entry.key)
            elif not is_elsewhere:
                threads.keep_thread(connection, _thread(sending, entry, remote_id, now))
                if is_new and entry.channel in TRACKERS:
                    show_anew(connection, sending.incident, CHATS, now)
        return "sent"

    def _print(self, entry: "OutboxEntry", message: Message, why: str, now: datetime) -> str:
        """Say a message on the console; one that has no words of its own is only settled."""
        if message.action is not Action.UPDATED:
            heading = f"{destination(entry.channel, message)}, not sent: {why}"
            self.console.write(console_text(message, heading))
            self.console.flush()
        return self._settle(entry, now, "printed", error=f"not sent: {why}")

    def _settle(
        self, entry: "OutboxEntry", now: datetime, status: "OutboxStatus", error: str = ""
    ) -> str:
        from lastmile.ledger import outbox

        if status == "dead":
            log.error("Message %s to %s is given up: %s", entry.key, entry.channel, error)
        with self.ledger.begin() as connection:
            if not outbox.settle(connection, entry, now, status, None, error):
                log.warning("Message %s was %s late; another deliverer has it.", entry.key, status)
        return status

    def _postpone(self, entry: "OutboxEntry", error: LastmileError, now: datetime) -> str:
        from lastmile.ledger import outbox

        if entry.attempts >= MOST_ATTEMPTS:
            reason = f"{_reason(error)} Given up after {entry.attempts} attempts."
            return self._settle(entry, now, "dead", error=reason)
        surely_not_sent = isinstance(error, NotTakenError | SettingsError)
        retry_after = getattr(error, "retry_after", None)
        wait = _pause(entry.attempts, retry_after)
        if not surely_not_sent:
            wait = max(wait, SETTLE_SECONDS)
        log.warning("Message %s to %s waits: %s", entry.key, entry.channel, _reason(error))
        until = now + timedelta(seconds=wait)
        # Surely not sent now; but an attempt before this one may still be.
        unsettled = entry.unsettled or not surely_not_sent
        with self.ledger.begin() as connection:
            outbox.postpone(connection, entry, until, _reason(error), unsettled)
            if retry_after:
                outbox.rest(connection, entry.channel, now + timedelta(seconds=retry_after))
        return "postponed"


def _thread(sending: Sending, entry: "OutboxEntry", remote_id: str, now: datetime) -> "Thread":
    """Return where a story is told, after one more word of it."""
    from lastmile.ledger.threads import Thread

    before = sending.thread
    if before is None or before.remote_id != remote_id:
        place, key, commented_at = place_of(entry.channel, sending.message.event), entry.key, now
    else:
        is_wordless = sending.message.action is Action.UPDATED
        place, key = before.place, before.key
        commented_at = before.commented_at if is_wordless else now
    return Thread(
        fingerprint=sending.incident.fingerprint,
        channel=entry.channel,
        place=place,
        remote_id=remote_id,
        key=key,
        # The state of an earlier incident may be shown after the first word of a later one.
        incident_id=max(entry.incident_id, before.incident_id if before else 0),
        shown=sending.latest.occurrences,
        changed_at=now,
        commented_at=commented_at,
    )


def _opening(first: "OutboxEntry | None", message: Message) -> Message:
    """Return the message that an incident began with, as far as this Lastmile can read it."""
    try:
        return message if first is None else Message.model_validate(first.body)
    except ValidationError:
        return message


def _send(channel: "Channel | SettingsError", sending: Sending) -> str:
    if isinstance(channel, SettingsError):
        raise channel
    try:
        return channel.send(sending)
    except LastmileError:
        raise
    except Exception as error:  # an answer that nobody foresaw must not hold up the other messages
        raise UnansweredError(f"Sending ended with {type(error).__name__}: {error}.") from error


def _pause(attempts: int, retry_after: float | None) -> float:
    """Seconds to the next attempt: doubling, with jitter; never sooner than the system asks."""
    longest = min(FIRST_PAUSE_SECONDS * 2.0 ** min(attempts - 1, 20), LONGEST_PAUSE_SECONDS)
    jittered = longest * random.uniform(0.5, 1.0)  # noqa: S311 - no secret hangs on it
    return max(jittered, (retry_after or 0.0) * random.uniform(1.0, 1.1))  # noqa: S311


def _reason(error: LastmileError) -> str:
    return redact(f"{error.headline} {error.hint}".strip(), known_secrets())
