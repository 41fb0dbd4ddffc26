"""Sends what waits in the outbox. Any number of deliverers may run at once."""

import logging
import random
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TextIO

from pydantic import ValidationError

from lastmile.clients.answers import NotTakenError, UnansweredError
from lastmile.clients.kinds import TRACKERS
from lastmile.errors import LastmileError, SettingsError, TransientError
from lastmile.ledger.ledger import Ledger
from lastmile.pipeline.base import Strict
from lastmile.team.channels import (
    Channel,
    NoThreadError,
    Sending,
    destination,
    names_destination,
    open_channels,
)
from lastmile.team.events import Message
from lastmile.team.redact import known_secrets, redact
from lastmile.team.render.console import console_text
from lastmile.team.spool import sweep_spool

if TYPE_CHECKING:
    from lastmile.ledger.incidents import OutboxEntry, OutboxStatus
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
    if settings is not None:
        sweep_spool(settings.home_path, ledger)
    return deliver(ledger, open_channels(), sys.stderr, datetime.now(UTC))


def deliver(
    ledger: Ledger,
    channels: Mapping[str, "Channel | SettingsError | None"],
    console: TextIO,
    now: datetime,
) -> DeliveryReport:
    """Send what is due now, in order.

    Args:
        ledger: Whose outbox.
        channels: By name; None where there is no account: then the message goes to the console.
        console: Where messages without an account go.
        now: The present; it goes on while this works.

    Raises:
        StoreError: The ledger does not answer.
    """
    from lastmile.ledger import outbox

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
        outcome = _deliver_one(ledger, claimed, channels.get(entry.channel), console, now)
        counts[outcome] += 1
        if outcome == "postponed":
            resting.add(entry.channel)  # what hinders one message hinders the next: no hammering


def _deliver_one(
    ledger: Ledger,
    entry: "OutboxEntry",
    channel: "Channel | SettingsError | None",
    console: TextIO,
    now: datetime,
) -> str:
    try:
        message = Message.model_validate(entry.body)
    except ValidationError as error:
        reason = f"The entry is no message of this Lastmile: {error.error_count()} faults."
        return _settle(ledger, entry, now, "dead", error=reason)
    if not names_destination(entry.channel, message):
        key = "tracker" if entry.channel in TRACKERS else "channel"
        return _print(ledger, entry, message, f"the pipeline names no team.{key}", console, now)
    if channel is None:
        return _print(ledger, entry, message, "no account", console, now)
    sending = _sending(ledger, entry, message)
    try:
        remote_id = _send(channel, sending)
    except NoThreadError as error:
        return _print(ledger, entry, message, error.headline, console, now)
    except (TransientError, SettingsError) as error:
        # A wrong account is mended by its owner; what it could not send is kept until then.
        return _postpone(ledger, entry, error, now)
    except LastmileError as error:
        return _settle(ledger, entry, now, "dead", error=_reason(error))
    return _settle(ledger, entry, now, "sent", remote_id=remote_id)


def _send(channel: "Channel | SettingsError", sending: Sending) -> str:
    if isinstance(channel, SettingsError):
        raise channel
    try:
        return channel.send(sending)
    except LastmileError:
        raise
    except Exception as error:  # an answer that nobody foresaw must not hold up the other messages
        raise UnansweredError(f"Sending ended with {type(error).__name__}: {error}.") from error


def _sending(ledger: Ledger, entry: "OutboxEntry", message: Message) -> Sending:
    from lastmile.ledger import outbox

    with ledger.read() as connection:
        replies_to = outbox.first_remote_id(connection, entry)
        earlier = outbox.earlier_remote_id(connection, entry)
    return Sending(
        key=entry.key,
        message=message,
        replies_to=replies_to,
        earlier=earlier,
        unsettled=entry.unsettled,
        written_at=entry.created_at,
    )


def _print(
    ledger: Ledger,
    entry: "OutboxEntry",
    message: Message,
    why: str,
    console: TextIO,
    now: datetime,
) -> str:
    console.write(console_text(message, f"{destination(entry.channel, message)}, not sent: {why}"))
    console.flush()
    return _settle(ledger, entry, now, "printed", error=f"not sent: {why}")


def _settle(
    ledger: Ledger,
    entry: "OutboxEntry",
    now: datetime,
    status: "OutboxStatus",
    remote_id: str | None = None,
    error: str = "",
) -> str:
    from lastmile.ledger import outbox

    if status == "dead":
        log.error("Message %s to %s is given up: %s", entry.key, entry.channel, error)
    with ledger.begin() as connection:
        if not outbox.settle(connection, entry, now, status, remote_id, error):
            log.warning("Message %s was %s late; another deliverer has it.", entry.key, status)
    return status


def _postpone(ledger: Ledger, entry: "OutboxEntry", error: LastmileError, now: datetime) -> str:
    from lastmile.ledger import outbox

    if entry.attempts >= MOST_ATTEMPTS:
        reason = f"{_reason(error)} Given up after {entry.attempts} attempts."
        return _settle(ledger, entry, now, "dead", error=reason)
    surely_not_sent = isinstance(error, NotTakenError | SettingsError)
    retry_after = error.retry_after if isinstance(error, NotTakenError) else None
    wait = _pause(entry.attempts, retry_after)
    if not surely_not_sent:
        wait = max(wait, SETTLE_SECONDS)
    log.warning("Message %s to %s waits: %s", entry.key, entry.channel, _reason(error))
    until = now + timedelta(seconds=wait)
    # Surely not sent now; but an attempt before this one may still be.
    unsettled = entry.unsettled or not surely_not_sent
    with ledger.begin() as connection:
        outbox.postpone(connection, entry, until, _reason(error), unsettled)
        if retry_after:
            outbox.rest(connection, entry.channel, now + timedelta(seconds=retry_after))
    return "postponed"


def _pause(attempts: int, retry_after: float | None) -> float:
    """Seconds to the next attempt: doubling, with jitter; never sooner than the system asks."""
    longest = min(FIRST_PAUSE_SECONDS * 2.0 ** min(attempts - 1, 20), LONGEST_PAUSE_SECONDS)
    jittered = longest * random.uniform(0.5, 1.0)  # noqa: S311 - no secret hangs on it
    return max(jittered, (retry_after or 0.0) * random.uniform(1.0, 1.1))  # noqa: S311


def _reason(error: LastmileError) -> str:
    return redact(f"{error.headline} {error.hint}".strip(), known_secrets())
