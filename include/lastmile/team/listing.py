"""What is open, since when and how often, what was told to whom, what waits and why."""

from datetime import datetime
from typing import Any

from lastmile.clients.kinds import TRACKERS
from lastmile.ledger.incidents import Incident, OutboxEntry, OutboxStatus
from lastmile.ledger.ledger import Ledger
from lastmile.pipeline.base import Strict
from lastmile.team.render.story import when


class Told(Strict):
    """One message of an incident or an announcement."""

    id: int
    """Names it for `lastmile incidents resend`."""
    incident_id: int
    pipeline: str
    action: str
    channel: str
    """The kind of tracker or chat: jira, slack."""
    destination: str
    """The project or the channel; empty where the pipeline names none."""
    status: OutboxStatus
    remote_id: str | None
    """The ticket's key, or the message's channel and timestamp."""
    attempts: int
    next_attempt_at: datetime | None
    """When it is tried again; None where it does not wait."""
    reason: str
    """Why it waits, was only printed, or was given up."""
    written_at: datetime


class OpenIncident(Strict):
    """One cause of trouble that nobody has ended yet."""

    incident: Incident
    told: tuple[Told, ...]


class IncidentList(Strict):
    """The answer of `lastmile incidents`."""

    open: tuple[OpenIncident, ...]
    stuck: tuple[Told, ...]
    """Messages of any incident or announcement that wait or were given up."""


def list_incidents(ledger: Ledger) -> IncidentList:
    """Read what is open and what waits.

    Raises:
        StoreError: The ledger does not answer.
    """
    from lastmile.ledger import incidents, outbox

    with ledger.read() as connection:
        open_ones = incidents.read_incidents(connection, status="open")
        entries = outbox.read_entries(
            connection, [incident.id for incident in open_ones], ("waiting", "dead")
        )
    told = [_told(entry) for entry in entries]
    return IncidentList(
        open=tuple(
            OpenIncident(
                incident=incident, told=tuple(t for t in told if t.incident_id == incident.id)
            )
            for incident in open_ones
        ),
        stuck=tuple(t for t in told if t.status in {"waiting", "dead"}),
    )


def render(value: IncidentList) -> str:
    """Lay the list out for a terminal."""
    lines = [line for one in value.open for line in [*_incident_lines(one), ""]]
    lines = lines or ["No incident is open."]
    shown = {one.incident.id for one in value.open}
    elsewhere = [told for told in value.stuck if told.incident_id not in shown]
    if elsewhere:
        lines += ["Other messages that were not delivered:", *map(_told_line, elsewhere)]
    return "\n".join(lines).rstrip()


def _incident_lines(one: OpenIncident) -> list[str]:
    incident = one.incident
    times = f"{incident.occurrences} time{'s' if incident.occurrences != 1 else ''}"
    where = f"{incident.pipeline}, {incident.stage}" if incident.stage else incident.pipeline
    lines = [
        f"#{incident.id} {incident.kind.replace('_', ' ')} of {where}"
        f" ({incident.severity}): {incident.headline}",
        f"    open since {when(incident.opened_at)}, seen {times},"
        f" last {when(incident.changed_at)}; owner {incident.owner}; first run {incident.run_id}",
    ]
    if incident.hint:
        lines.append(f"    to do: {incident.hint}")
    if incident.silenced_until is not None:
        lines.append(f"    silenced by {incident.silence} until {when(incident.silenced_until)}")
    if incident.touched_at is not None:
        lines.append(f"    taken up by {incident.touched_by}, {when(incident.touched_at)}")
    if incident.escalated_at is not None:
        lines.append(f"    passed on {when(incident.escalated_at)}: nobody had taken it up")
    # What was only a new count is no telling; it is shown where it could not be sent.
    return lines + [_told_line(t) for t in one.told if t.action != "updated" or t.status != "sent"]


def _told_line(told: Told) -> str:
    where = f"{told.channel} {told.destination}".rstrip()
    number = f"message {told.id} to " if told.status in {"waiting", "dead"} else ""
    line = f"    {number}{where}: {told.action}, {told.status}"
    if told.remote_id:
        line += f" as {told.remote_id}"
    if told.next_attempt_at is not None and told.attempts:
        line += f" after {told.attempts} attempts, next {when(told.next_attempt_at)}"
    return f"{line}: {told.reason}" if told.reason else line


def _told(entry: OutboxEntry) -> Told:
    event: dict[str, Any] = entry.body.get("event", {})
    destination = event.get("tracker" if entry.channel in TRACKERS else "channel") or ""
    return Told(
        id=entry.id,
        incident_id=entry.incident_id,
        pipeline=str(event.get("pipeline", "")),
        action=entry.action,
        channel=entry.channel,
        destination=str(destination).removeprefix(f"{entry.channel}:"),
        status=entry.status,
        remote_id=entry.remote_id,
        attempts=entry.attempts,
        next_attempt_at=entry.next_attempt_at if entry.status == "waiting" else None,
        reason=entry.error,
        written_at=entry.created_at,
    )
