"""Passes an incident on when nobody has taken it up for too long: once, to whom the team file says."""

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from pydantic import ValidationError

from lastmile.clients.kinds import CHATS
from lastmile.clients.tracker import Severity
from lastmile.errors import LastmileError, SettingsError
from lastmile.ledger.ledger import Ledger
from lastmile.team.channels import Channel, TrackerChannel
from lastmile.team.events import Action, Event, Message
from lastmile.team.places import channels_of, parted
from lastmile.team.record import add_message
from lastmile.team.rules import Escalation, TeamRules

if TYPE_CHECKING:
    from lastmile.ledger.incidents import Incident

log = logging.getLogger(__name__)


def escalate(
    ledger: Ledger,
    rules: TeamRules,
    channels: Mapping[str, Channel | SettingsError | None],
    now: datetime,
) -> int:
    """Write a message for every incident that nobody has taken up in time; returns how many incidents.

    An incident is taken up by `lastmile incidents take`, or by whoever moves its ticket on.

    Raises:
        StoreError: The ledger does not answer.
    """
    from lastmile.ledger import incidents

    escalation = rules.escalation
    if escalation is None:
        return 0
    with ledger.read() as connection:
        due = incidents.find_untouched(connection, now - escalation.after)
    passed = 0
    for incident in due:
        is_quiet = incident.silenced_until is not None and now < incident.silenced_until
        if is_quiet or Severity(incident.severity).rank < escalation.severity.rank:
            continue
        if not _is_touched(ledger, channels, incident, now):
            passed += _pass_on(ledger, rules, escalation, incident, now)
    return passed


def _is_touched(
    ledger: Ledger,
    channels: Mapping[str, Channel | SettingsError | None],
    incident: "Incident",
    now: datetime,
) -> bool:
    """Look whether somebody has moved the incident's ticket on; keep it if so."""
    from lastmile.ledger import incidents, threads

    with ledger.read() as connection:
        known = threads.find_threads(connection, incident.fingerprint)
    for thread in known:
        channel = channels.get(thread.channel)
        if thread.incident_id != incident.id or not isinstance(channel, TrackerChannel):
            continue
        try:
            ticket = channel.tracker.read(thread.remote_id)
        except LastmileError as error:  # who cannot be asked has not said that he is at it
            log.warning("Whether somebody is at %s is not known: %s", thread.remote_id, error)
            continue
        if ticket is not None and ticket.is_touched:
            with ledger.begin() as connection:
                incidents.set_touched(connection, incident.id, f"somebody in {ticket.id}", now)
            return True
    return False


def _pass_on(
    ledger: Ledger, rules: TeamRules, escalation: Escalation, incident: "Incident", now: datetime
) -> int:
    from lastmile.ledger import incidents, outbox

    with ledger.begin() as connection:
        chat = next((c for c in CHATS if outbox.find_opening(connection, incident.id, c)), None)
        first = outbox.find_opening(connection, incident.id, chat) if chat else None
        try:
            message = Message.model_validate(first.body) if first else None
        except ValidationError:
            message = None
        if message is None or not incidents.set_escalated(connection, incident.id, now):
            return 0
        for number, event in enumerate(_events(message.event, escalation)):
            key = f"escalation:{incident.id}:{number}"
            channel = channels_of(event)[1]
            add_message(connection, rules, Action.ESCALATED, event, incident, channel, key, now)
    return 1


def _events(event: Event, escalation: Escalation) -> list[Event]:
    """Return the event as its own channel gets it, and as the further one does."""
    further = escalation.channel
    if further is None or parted(further, CHATS) == parted(event.channel, CHATS):
        return [event]
    return [event, event.model_copy(update={"channel": further})]
