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


def is_held(connection: sa.Connection, entry: OutboxEntry) -> bool:
    """Tell whether a claimed entry is still ours."""
    query = sa.select(outbox.c.id).where(
        outbox.c.id == entry.id,
        outbox.c.status == "waiting",
        outbox.c.attempts == entry.attempts,
    )
    return connection.execute(query).first() is not None


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


def newest_word_at(
    connection: sa.Connection, incident_id: int, channel: str, without: Collection[str] = ()
) -> datetime | None:
    """Return when the newest message of an incident to a channel was written.

    Args:
        connection: The caller's transaction.
        incident_id: The incident.
        channel: The channel.
        without: Actions that do not count.
    """
    query = (
        sa.select(outbox.c.created_at)
        .where(
            outbox.c.incident_id == incident_id,
            outbox.c.channel == channel,
            outbox.c.action.not_in(list(without)),
        )
        .order_by(outbox.c.id.desc())
        .limit(1)
    )
    row = connection.execute(query).mappings().first()
    return in_utc(row)["created_at"] if row else None


def has_unbegun(connection: sa.Connection, incident_id: int, channel: str) -> bool:
    """Tell whether a message of an incident waits that is surely not on its way."""
    query = sa.select(outbox.c.id).where(
        outbox.c.incident_id == incident_id,
        outbox.c.channel == channel,
        outbox.c.status == "waiting",
        ~outbox.c.unsettled,
    )
    return connection.execute(query.limit(1)).first() is not None


def drop_unbegun(connection: sa.Connection, incident_id: int, channel: str, action: str) -> None:
    """Take back messages of one action that is surely not on its way: another one says more."""
    connection.execute(
        outbox.delete().where(
            outbox.c.incident_id == incident_id,
            outbox.c.channel == channel,
            outbox.c.action == action,
            outbox.c.status == "waiting",
            ~outbox.c.unsettled,
        )
    )


def find_opening(connection: sa.Connection, incident_id: int, channel: str) -> OutboxEntry | None:
    """Return the first message of an incident to a channel."""
    query = (
        sa.select(outbox)
        .where(outbox.c.incident_id == incident_id, outbox.c.channel == channel)
        .order_by(outbox.c.id)
        .limit(1)
    )
    row = connection.execute(query).mappings().first()
    return OutboxEntry(**in_utc(row)) if row else None


def resend(connection: sa.Connection, ids: Collection[int], now: datetime) -> list[int]:
    """Let messages that were not sent be tried at once; returns which.

    One that was given up starts from its first attempt. One that may be on its way is left alone: it
    comes up again by itself, and is looked for first.
    """
    mine = outbox.c.id.in_(list(ids))
    waits = (outbox.c.status == "waiting") & ~outbox.c.unsettled
    ended = outbox.c.status.in_(["dead", "printed"])
    query = sa.select(outbox.c.id).where(mine, waits | ended).order_by(outbox.c.id)
    found = list(connection.execute(query).scalars())
    connection.execute(outbox.update().where(mine, waits).values(next_attempt_at=now))
    connection.execute(
        outbox.update()
        .where(mine, ended)
        .values(status="waiting", attempts=0, next_attempt_at=now, settled_at=None)
    )
    return found


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
