"""Where each cause is told: its ticket in a tracker, its thread in a chat. One row for cause and channel."""

from datetime import datetime

import sqlalchemy as sa

from lastmile.ledger.engine import in_utc
from lastmile.ledger.tables import threads
from lastmile.pipeline.base import Strict


class Thread(Strict):
    """The place where a cause is told in a channel."""

    fingerprint: str
    channel: str
    place: str
    """The project, the repository, the channel."""
    remote_id: str
    """The ticket's id, or that of the thread's first message."""
    key: str
    """The outbox entry's that began it."""
    incident_id: int
    """The last incident that was told there."""
    shown: int
    """How often it was seen, as readers see it there."""
    changed_at: datetime
    commented_at: datetime
    """When the last words were said there; a counter is none."""


def find_thread(connection: sa.Connection, fingerprint: str, channel: str) -> Thread | None:
    """Return where a cause is told in a channel; None where it was not yet."""
    query = sa.select(threads).where(
        threads.c.fingerprint == fingerprint, threads.c.channel == channel
    )
    row = connection.execute(query).mappings().first()
    return Thread(**in_utc(row)) if row else None


def find_threads(connection: sa.Connection, fingerprint: str) -> list[Thread]:
    """Return where a cause is told, by channel."""
    query = sa.select(threads).where(threads.c.fingerprint == fingerprint)
    found = connection.execute(query.order_by(threads.c.channel)).mappings()
    return [Thread(**in_utc(row)) for row in found]


def keep_thread(connection: sa.Connection, thread: Thread) -> None:
    """Write where a cause is told, in place of what was known.

    Whoever sends a cause's messages to a channel is alone at it, so nobody writes the same row.
    """
    connection.execute(
        threads.delete().where(
            threads.c.fingerprint == thread.fingerprint, threads.c.channel == thread.channel
        )
    )
    connection.execute(threads.insert().values(thread.model_dump()))
