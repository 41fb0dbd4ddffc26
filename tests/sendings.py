"""Messages on their way, made to order for tests of what sends them."""

from datetime import UTC, datetime
from typing import Any

from lastmile.ledger.incidents import Incident
from lastmile.ledger.threads import Thread
from lastmile.team.channels import Sending
from lastmile.team.events import Action, Message

MOMENT = datetime(2026, 3, 1, 2, 4, tzinfo=UTC)


def make_incident(message: Message, **parts: Any) -> Incident:
    event = message.event
    status = "open" if event.kind.is_incident else "noted"
    if message.action is Action.RECOVERED:
        status = "recovered"
    values: dict[str, Any] = {
        "id": 1, "fingerprint": message.fingerprint, "pipeline": event.pipeline, "kind": event.kind,
        "status": status, "stage": event.stage, "run_id": event.run_id, "owner": event.owner,
        "headline": event.headline, "hint": event.hint, "facts": event.facts,
        "occurrences": message.occurrences, "opened_at": message.opened_at, "changed_at": MOMENT,
        "severity": event.severity or "medium", "silenced_until": None, "silence": None,
        "touched_at": None, "touched_by": None, "escalated_at": None,
    }  # fmt: skip
    return Incident.model_validate(values | parts)


def make_thread(channel: str, remote_id: str, place: str, key: str = "k1", **parts: Any) -> Thread:
    values: dict[str, Any] = {
        "fingerprint": "f", "channel": channel, "place": place, "remote_id": remote_id, "key": key,
        "incident_id": 1, "shown": 1, "changed_at": MOMENT, "commented_at": MOMENT,
    }  # fmt: skip
    return Thread.model_validate(values | parts)


def make_sending(message: Message, key: str = "k1", **parts: Any) -> Sending:
    incident = parts.pop("incident", None) or make_incident(message)
    values: dict[str, Any] = {
        "incident": incident, "latest": incident, "opening": message, "thread": None, "may_go_on": True,
        "unsettled": False, "written_at": datetime.now(UTC),
    }  # fmt: skip
    return Sending(key=key, message=message, **(values | parts))
