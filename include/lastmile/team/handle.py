"""What people do with incidents: take one up, say that it is over, silence its cause, send messages again."""

from collections.abc import Collection
from datetime import datetime

from lastmile.clients.kinds import CHATS
from lastmile.errors import PermanentError
from lastmile.ledger.incidents import Incident
from lastmile.ledger.ledger import Ledger
from lastmile.team.events import Event, Kind
from lastmile.team.record import end, presentable, show_anew
from lastmile.team.rules import TeamRules


def take(ledger: Ledger, incident_id: int, by: str, now: datetime) -> Incident:
    """Say that somebody is at an incident: it is not passed on any more.

    Raises:
        PermanentError: There is no such open incident.
        StoreError: The ledger does not answer.
    """
    from lastmile.ledger import incidents as rows

    with ledger.begin() as connection:
        incident = rows.find_incident(connection, incident_id)
        _must_be_open(incident, incident_id)
        rows.set_touched(connection, incident_id, by, now)
        taken = rows.read_incident(connection, incident_id)
        show_anew(connection, taken, CHATS, now)
    return taken


def resolve(
    ledger: Ledger, rules: TeamRules, incident_id: int, by: str, reason: str, now: datetime
) -> Incident:
    """Say that an incident is over, though no run has shown it; its ticket and thread say so too.

    Raises:
        PermanentError: There is no such open incident.
        StoreError: The ledger does not answer.
    """
    from lastmile.ledger import incidents as rows

    with ledger.begin() as connection:
        incident = _must_be_open(rows.find_incident(connection, incident_id), incident_id)
        event = presentable(
            Event(
                kind=Kind(incident.kind),
                pipeline=incident.pipeline,
                run_id=incident.run_id,
                stage=incident.stage,
                headline=f"{by} says that it is over" + (f": {reason}" if reason else "."),
                owner=incident.owner,
            )
        )
        end(connection, rules, incident, event, f"resolved:{incident_id}", now)
        return rows.read_incident(connection, incident_id)


def silence(
    ledger: Ledger, incident_id: int, ticket: str, until: datetime, now: datetime
) -> Incident:
    """Tell nobody of an incident's cause until then; it is counted and listed all the same.

    Raises:
        PermanentError: There is no such open incident, the moment is over, or no ticket says why.
        StoreError: The ledger does not answer.
    """
    from lastmile.ledger import incidents as rows

    if not ticket.strip():
        raise PermanentError(
            "A silence needs a ticket.", "Name the one where the reason stands: --ticket RISK-7"
        )
    if until <= now:
        raise PermanentError(
            f"A silence until {until:%Y-%m-%d} would be over already.", "Name a later day."
        )
    with ledger.begin() as connection:
        _must_be_open(rows.find_incident(connection, incident_id), incident_id)
        rows.set_silence(connection, incident_id, until, ticket.strip()[:255])
        rows.set_touched(connection, incident_id, ticket.strip()[:255], now)
        silenced = rows.read_incident(connection, incident_id)
        show_anew(connection, silenced, CHATS, now)
    return silenced


def resend(ledger: Ledger, message_ids: Collection[int], now: datetime) -> list[int]:
    """Let messages be tried again that wait, were given up or only printed; all of the first two by default.

    Returns:
        The messages that will be tried. One that may be on its way is looked for by itself.

    Raises:
        PermanentError: One that is named is not there, or was sent.
        StoreError: The ledger does not answer.
    """
    from lastmile.ledger import outbox

    with ledger.begin() as connection:
        chosen = set(message_ids) or {
            e.id for e in outbox.read_entries(connection, (), ("waiting", "dead"))
        }
        found = outbox.resend(connection, chosen, now)
        if missing := sorted(set(message_ids) - set(found)):
            raise PermanentError(
                f"Message {', '.join(map(str, missing))} cannot be sent again.",
                "`lastmile incidents` lists what waits. What was sent, or may be on its way, is not.",
            )
    return found


def _must_be_open(incident: Incident | None, incident_id: int) -> Incident:
    if incident is None or incident.status != "open":
        state = "not there" if incident is None else incident.status
        raise PermanentError(
            f"Incident {incident_id} is {state}.", "`lastmile incidents` lists those that are open."
        )
    return incident
