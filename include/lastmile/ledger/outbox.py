"""The outbox: messages that wait, and who is sending which.

A deliverer claims an entry by counting an attempt and moving its next one into the future, both only if
nobody else did so since it was read. The count is then its token: it can settle the entry only while
the count stands. A deliverer that dies leaves an entry that becomes due again by itself, marked as
unsettled: it may have been sent.
"""

from collections.abc import Collection
from datetime import datetime, timedelta

import sqlalchemy as sa

from lastmile.ledger.engine import in_utc
from lastmile.ledger.incidents import OutboxEntry, OutboxStatus
from lastmile.ledger.tables import incidents, outbox


def next_due(
    connection: sa.Connection, now: datetime, without: Collection[str] = ()
) -> OutboxEntry | None:
    """Return the oldest entry that may be sent now, or None.

    An entry waits for all earlier ones of its cause in its channel: when the same cause comes up again
    while the channel is down, its story is still told in order, and in one ticket.

    Args:
        connection: The caller's transaction.
        now: Entries due later are left out.
        without: Channels to leave out.
    """
    earlier, of_earlier = outbox.alias("earlier"), incidents.alias("of_earlier")
    blocked = sa.exists().where(
        earlier.c.channel == outbox.c.channel,
        earlier.c.id < outbox.c.id,
        earlier.c.status == "waiting",
        of_earlier.c.id == earlier.c.incident_id,
        of_earlier.c.fingerprint == incidents.c.fingerprint,
    )
    query = (
        sa.select(outbox)
        .join(incidents, incidents.c.id == outbox.c.incident_id)
        .where(
            outbox.c.status == "waiting",
            outbox.c.next_attempt_at <= now,
            outbox.c.channel.not_in(list(without)),
            ~blocked,
        )
        .order_by(outbox.c.id)
        .limit(1)
    )
    row = connection.execute(query).mappings().first()
    return OutboxEntry(**in_utc(row)) if row else None


def claim(
    connection: sa.Connection, entry: OutboxEntry, now: datetime, seconds: float
) -> OutboxEntry | None:
    """Take an entry for sending; None where somebody else was faster.

    Its `unsettled` still tells of the attempt before this one.

    Args:
        connection: The caller's transaction.
        entry: As it was read.
        now: The present.
        seconds: For how long nobody else may take it; longer than sending can last.
    """
    attempts, until = entry.attempts + 1, now + timedelta(seconds=seconds)
    taken = connection.execute(
        outbox.update()
        .where(
            outbox.c.id == entry.id,
            outbox.c.status == "waiting",
            outbox.c.attempts == entry.attempts,
        )
        .values(attempts=attempts, next_attempt_at=until, unsettled=True)
    )
    if taken.rowcount != 1:
        return None
    return entry.model_copy(update={"attempts": attempts, "next_attempt_at": until})


def settle(
    connection: sa.Connection,
    entry: OutboxEntry,
    now: datetime,
    status: OutboxStatus,
    remote_id: str | None = None,
    error: str = "",
) -> bool:
    """Say what became of a claimed entry; False where it is no longer ours."""
    return _change(
        connection,
        entry,
        status=status,
        remote_id=remote_id,
        error=error,
        unsettled=False,
        settled_at=now,
    )


def postpone(
    connection: sa.Connection, entry: OutboxEntry, until: datetime, error: str, unsettled: bool
) -> bool:
    """Let a claimed entry wait; `unsettled` tells that it may have been sent all the same."""
    return _change(connection, entry, next_attempt_at=until, error=error, unsettled=unsettled)


def rest(connection: sa.Connection, channel: str, until: datetime) -> None:
    """Let all that waits for a channel wait until then at least: its system has asked for a pause."""
    connection.execute(
        outbox.update()
        .where(
            outbox.c.channel == channel,
            outbox.c.status == "waiting",
            outbox.c.next_attempt_at < until,
        )
        .values(next_attempt_at=until)
    )


def first_remote_id(connection: sa.Connection, entry: OutboxEntry) -> str | None:
    """Return what an entry replies to: where the first sent message of its incident and channel stands."""
    query = (
        sa.select(outbox.c.remote_id)
        .where(
            outbox.c.incident_id == entry.incident_id,
            outbox.c.channel == entry.channel,
            outbox.c.status == "sent",
            outbox.c.remote_id.is_not(None),
            outbox.c.id < entry.id,
        )
        .order_by(outbox.c.id)
        .limit(1)
    )
    return connection.execute(query).scalar()


def earlier_remote_id(connection: sa.Connection, entry: OutboxEntry) -> str | None:
    """Return where the newest message about the same cause stands, of an incident before this one."""
    cause = sa.select(incidents.c.fingerprint).where(incidents.c.id == entry.incident_id)
    query = (
        sa.select(outbox.c.remote_id)
        .join(incidents, incidents.c.id == outbox.c.incident_id)
        .where(
            incidents.c.fingerprint == cause.scalar_subquery(),
            incidents.c.id < entry.incident_id,
            outbox.c.channel == entry.channel,
            outbox.c.status == "sent",
            outbox.c.remote_id.is_not(None),
        )
        .order_by(outbox.c.id.desc())
        .limit(1)
    )
    return connection.execute(query).scalar()


def read_entries(
    connection: sa.Connection,
    incident_ids: Collection[int] = (),
    statuses: Collection[OutboxStatus] = (),
) -> list[OutboxEntry]:
    """Return the entries of these incidents, and those of these statuses; oldest first."""
    query = (
        sa.select(outbox)
        .where(outbox.c.incident_id.in_(list(incident_ids)) | outbox.c.status.in_(list(statuses)))
        .order_by(outbox.c.id)
    )
    return [OutboxEntry(**in_utc(row)) for row in connection.execute(query).mappings()]


def _change(connection: sa.Connection, entry: OutboxEntry, **values: object) -> bool:
    changed = connection.execute(
        outbox.update()
        .where(
            outbox.c.id == entry.id,
            outbox.c.status == "waiting",
            outbox.c.attempts == entry.attempts,
        )
        .values(**values)
    )
    return changed.rowcount == 1
