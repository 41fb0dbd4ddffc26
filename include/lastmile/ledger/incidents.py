"""Incidents, their sightings and their messages, as rows. What they mean is decided in `lastmile.team`.

All functions work inside the caller's transaction, so that an incident never stands there without its
messages, nor a message without its incident.
"""

from collections.abc import Collection
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa

from lastmile.ledger.engine import in_utc
from lastmile.ledger.tables import incidents, outbox, releases, sightings
from lastmile.pipeline.base import Strict

IncidentStatus = Literal["open", "recovered", "noted"]
OutboxStatus = Literal["waiting", "sent", "printed", "dead"]


class Incident(Strict):
    """One cause of trouble, or one announcement."""

    id: int
    fingerprint: str
    pipeline: str
    kind: str
    status: IncidentStatus
    stage: str
    run_id: str
    owner: str
    headline: str
    hint: str
    facts: dict[str, str]
    occurrences: int
    opened_at: datetime
    changed_at: datetime
    severity: str
    silenced_until: datetime | None
    """Until when nobody is told of it."""
    silence: str | None
    """The ticket that says why."""
    touched_at: datetime | None
    """When somebody took it up."""
    touched_by: str | None
    escalated_at: datetime | None


class OutboxEntry(Strict):
    """One message to one channel."""

    id: int
    key: str
    incident_id: int
    channel: str
    action: str
    body: dict[str, Any]
    status: OutboxStatus
    attempts: int
    next_attempt_at: datetime
    unsettled: bool
    remote_id: str | None
    error: str
    created_at: datetime
    settled_at: datetime | None


def find_sighting(connection: sa.Connection, key: str) -> int | None:
    """Return the incident that an event led to, or None where it has not been seen."""
    query = sa.select(sightings.c.incident_id).where(sightings.c.key == key)
    return connection.execute(query).scalar()


def add_sighting(connection: sa.Connection, key: str, incident_id: int, now: datetime) -> None:
    """Keep that an event was seen.

    Raises:
        IntegrityError: Another process saw it at the same moment.
    """
    connection.execute(sightings.insert().values(key=key, incident_id=incident_id, seen_at=now))


def read_incident(connection: sa.Connection, incident_id: int) -> Incident:
    """Return one incident."""
    query = sa.select(incidents).where(incidents.c.id == incident_id)
    return Incident(**in_utc(connection.execute(query).mappings().one()))


def find_incident(connection: sa.Connection, incident_id: int) -> Incident | None:
    """Return one incident, if there is one of this number."""
    query = sa.select(incidents).where(incidents.c.id == incident_id).with_for_update()
    row = connection.execute(query).mappings().first()
    return Incident(**in_utc(row)) if row else None


def read_incidents(
    connection: sa.Connection, ids: Collection[int] = (), status: IncidentStatus | None = None
) -> list[Incident]:
    """Return the incidents with these ids, or all with this status; oldest first."""
    query = sa.select(incidents).order_by(incidents.c.id)
    query = query.where(incidents.c.status == status if status else incidents.c.id.in_(ids))
    return [Incident(**in_utc(row)) for row in connection.execute(query).mappings()]


def find_open(connection: sa.Connection, fingerprint: str) -> Incident | None:
    """Return the open incident of a cause; its row is kept from others until the transaction ends."""
    query = (
        sa.select(incidents)
        .where(incidents.c.fingerprint == fingerprint, incidents.c.status == "open")
        .with_for_update()
    )
    row = connection.execute(query).mappings().first()
    return Incident(**in_utc(row)) if row else None


def find_open_of_pipeline(connection: sa.Connection, pipeline: str) -> list[Incident]:
    """Return a pipeline's open incidents, oldest first; their rows are kept from others."""
    query = (
        sa.select(incidents)
        .where(incidents.c.pipeline == pipeline, incidents.c.status == "open")
        .order_by(incidents.c.id)
        .with_for_update()
    )
    return [Incident(**in_utc(row)) for row in connection.execute(query).mappings()]


def add_incident(connection: sa.Connection, now: datetime, **values: Any) -> Incident:
    """Keep a new incident.

    Raises:
        IntegrityError: Another process opened one of the same cause at the same moment.
    """
    row = connection.execute(
        incidents.insert().values(occurrences=1, opened_at=now, changed_at=now, **values)
    )
    return read_incident(connection, int(row.inserted_primary_key[0]))  # type: ignore[index]


def add_occurrence(connection: sa.Connection, incident_id: int, now: datetime) -> Incident:
    """Count one more occurrence of an open incident."""
    connection.execute(
        incidents.update()
        .where(incidents.c.id == incident_id)
        .values(occurrences=incidents.c.occurrences + 1, changed_at=now)
    )
    return read_incident(connection, incident_id)


def set_recovered(connection: sa.Connection, incident_id: int, now: datetime) -> None:
    """Say that an incident is over."""
    connection.execute(
        incidents.update()
        .where(incidents.c.id == incident_id)
        .values(status="recovered", changed_at=now)
    )


def find_newest(connection: sa.Connection, fingerprint: str) -> Incident | None:
    """Return the newest incident of a cause, open or over."""
    query = (
        sa.select(incidents)
        .where(incidents.c.fingerprint == fingerprint)
        .order_by(incidents.c.id.desc())
        .limit(1)
    )
    row = connection.execute(query).mappings().first()
    return Incident(**in_utc(row)) if row else None


def set_silence(
    connection: sa.Connection, incident_id: int, until: datetime | None, ticket: str | None
) -> None:
    """Say until when nobody is told of an incident, and which ticket says why; None: from now on again."""
    change = incidents.update().where(incidents.c.id == incident_id)
    connection.execute(change.values(silenced_until=until, silence=ticket))


def set_touched(connection: sa.Connection, incident_id: int, by: str, now: datetime) -> None:
    """Say that somebody has taken an incident up; the first one stays."""
    connection.execute(
        incidents.update()
        .where(incidents.c.id == incident_id, incidents.c.touched_at.is_(None))
        .values(touched_at=now, touched_by=by)
    )


def set_escalated(connection: sa.Connection, incident_id: int, now: datetime) -> bool:
    """Say that an incident was passed on; False where another did so, it is over or taken up."""
    changed = connection.execute(
        incidents.update()
        .where(
            incidents.c.id == incident_id,
            incidents.c.status == "open",
            incidents.c.escalated_at.is_(None),
            incidents.c.touched_at.is_(None),
        )
        .values(escalated_at=now)
    )
    return changed.rowcount == 1


def find_untouched(connection: sa.Connection, opened_before: datetime) -> list[Incident]:
    """Return the open incidents that nobody took up since then and that were not passed on; oldest first."""
    query = (
        sa.select(incidents)
        .where(
            incidents.c.status == "open",
            incidents.c.opened_at <= opened_before,
            incidents.c.touched_at.is_(None),
            incidents.c.escalated_at.is_(None),
        )
        .order_by(incidents.c.id)
    )
    return [Incident(**in_utc(row)) for row in connection.execute(query).mappings()]


def add_message(
    connection: sa.Connection,
    key: str,
    incident_id: int,
    channel: str,
    action: str,
    body: dict[str, Any],
    now: datetime,
    due: datetime,
) -> None:
    """Put a message into the outbox, to be sent when it is due."""
    connection.execute(
        outbox.insert().values(
            key=key,
            incident_id=incident_id,
            channel=channel,
            action=action,
            body=body,
            status="waiting",
            attempts=0,
            next_attempt_at=due,
            unsettled=False,
            error="",
            created_at=now,
        )
    )


def find_champion(connection: sa.Connection, pipeline: str) -> tuple[int, str] | None:
    """Return the version that answers now and the run that released it; None before the first release."""
    query = (
        sa.select(releases.c.version, releases.c.run_id)
        .where(releases.c.pipeline == pipeline, releases.c.status == "serving")
        .order_by(releases.c.id.desc())
        .limit(1)
    )
    row = connection.execute(query).first()
    return (row.version, row.run_id) if row else None
