"""Every message as its readers get it, held against `tests/golden/team/`.

The Jira and Slack files are what went over the wire, through the real clients, to the strict fakes. After a
change that is meant, write them anew and look at the difference:

    LASTMILE_UPDATE_GOLDEN=1 .venv/bin/python -m pytest tests/unit/team/test_golden.py
    git diff tests/golden/team
"""

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fakes.jira import FakeJira
from fakes.nights import Night
from fakes.slack import FakeSlack
from lastmile.artefacts.verdict import Decision
from lastmile.errors import DataError
from lastmile.ledger.ledger import Ledger
from lastmile.ledger.outbox import read_entries
from lastmile.ledger.tables import outbox
from lastmile.team.announce import announce
from lastmile.team.channels import open_channels
from lastmile.team.events import Action, Message
from lastmile.team.places import destination
from lastmile.team.record import record, stage_failure
from lastmile.team.render.console import console_text
from sendings import make_incident, make_sending, make_thread

GOLDEN = Path(__file__).parents[2] / "golden" / "team"
UPDATE = bool(os.environ.get("LASTMILE_UPDATE_GOLDEN"))  # read now: no test sees such variables
UPDATED = "Meant? See the top of this file for how to write the golden files anew."

OPENED_AT = datetime(2026, 3, 1, 2, 4, tzinfo=UTC)
FORMS = {"console": "txt", "slack": "json", "jira": "json"}


def released(night: Night) -> None:
    announce(night.release("scheduled__2026-02-27T02:00:00+00:00"))
    changes = {"rows": 1200, "code": "c" * 64, "libraries": {"numpy": "2.5.0"}}
    announce(night.release("scheduled__2026-03-01T02:00:00+00:00", 2, "bundle 2", **changes))


def unchanged(night: Night) -> None:
    night.release("scheduled__2026-02-28T02:00:00+00:00")
    announce(night.judge("scheduled__2026-03-01T02:00:00+00:00"))


def rejected(night: Night) -> None:
    night.release("scheduled__2026-02-28T02:00:00+00:00")
    announce(night.judge("scheduled__2026-03-01T02:00:00+00:00", Decision.REJECT, "bundle 2", 900))


def needs_human(night: Night) -> None:
    announce(night.judge("scheduled__2026-03-01T02:00:00+00:00", Decision.NEEDS_HUMAN))


def dry_run(night: Night) -> None:
    wish = {"dry_run": True, "requested_by": "ada", "reason": "two new columns"}
    announce(night.judge("manual__2026-03-01T09:30:00+00:00", **wish))


def failed(night: Night, day: int = 1) -> None:
    run_id = f"scheduled__2026-03-{day:02}T02:00:00+00:00"
    error = DataError(
        "35 of 1000 rows of loans break the contract (3.5 %, allowed 2 %): income is no number (31), "
        "age is over 120 (4).",
        "See quarantine.csv; mend the source, or raise data.quarantine.max_share.",
    )
    log = f"http://127.0.0.1:8080/dags/credit_risk/runs/{run_id}/tasks/prepare.prepare"
    context = night.make_context(night.pipeline, run_id)
    record(
        context.ledger,
        stage_failure(night.pipeline, run_id, "prepare", error, {"Log": log}),
        run_id,
    )


def failed_twice(night: Night) -> None:
    failed(night)
    with night.make_context(night.pipeline, "x").ledger.begin() as connection:
        earlier = datetime.now(UTC) - timedelta(hours=24)
        connection.execute(outbox.update().values(created_at=earlier))
    failed(night, day=2)


def recovered(night: Night) -> None:
    failed_twice(night)
    announce(night.release("scheduled__2026-03-03T02:00:00+00:00"))


STORIES: dict[str, tuple[Callable[[Night], None], Action]] = {
    "release": (released, Action.OPENED),
    "unchanged": (unchanged, Action.OPENED),
    "rejection": (rejected, Action.OPENED),
    "needs_human": (needs_human, Action.OPENED),
    "dry_run": (dry_run, Action.OPENED),
    "failure": (failed, Action.OPENED),
    "repeat": (failed_twice, Action.REPEATED),
    "recovery": (recovered, Action.RECOVERED),
}
FILES = {f"{story}.{form}.{ending}" for story in STORIES for form, ending in FORMS.items()}


def messages(night: Night, ledger: Ledger, action: Action) -> tuple[Message, Message]:
    """The first message of an incident and the newest of this sort."""
    with ledger.read() as connection:
        entries = read_entries(connection, (), ("waiting",))
    newest = [e for e in entries if e.action == action][-1]
    first = next(e for e in entries if e.incident_id == newest.incident_id)
    return _made_the_same(night, first.body), _made_the_same(night, newest.body)


def _made_the_same(night: Night, body: dict[str, Any]) -> Message:
    """A message without what differs from test to test."""
    text = json.dumps(body)
    text = text.replace(night.make_context(night.pipeline).store.url, "s3://models/lastmile")
    for ref in night.refs:  # an artefact's digest changes with every field that is added to it
        text = text.replace(ref.digest, f"{ref.kind}-digest")
        text = text.replace(ref.digest[:12], f"{ref.kind}-digest")
    return Message.model_validate(json.loads(text) | {"opened_at": OPENED_AT})


PLACES = {"jira": "RISK", "slack": "risk-models"}
TICKET = (("Ticket RISK-1", "https://acme.atlassian.net/browse/RISK-1"),)


def send(opening: Message, message: Message, form: str, jira: FakeJira, slack: FakeSlack) -> Any:
    """Send a message through the real client; returns what went over the wire."""
    channel = open_channels()[form]
    assert channel is not None
    assert not isinstance(channel, Exception)
    parts: dict[str, Any] = {"links": TICKET if form == "slack" else (), "opening": opening}
    if message.action is not Action.OPENED:
        first = channel.send(make_sending(opening, "opening", **parts))
        parts["thread"] = make_thread(form, first, PLACES[form])
        parts["incident"] = make_incident(message, headline=opening.event.headline)
    channel.send(make_sending(message, "the outbox entry's key", **parts))
    if form == "slack":
        return [{key: m[key] for key in ("text", "blocks")} for m in slack.messages]
    (ticket,) = jira.tickets
    status = {"status": ticket.status}
    if ticket.comments:
        return {"comment": ticket.comments[-1], "summary": ticket.fields["summary"]} | status
    return {"fields": ticket.fields} | status


@pytest.mark.usefixtures("accounts")
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", STORIES)
def test_a_message_is_as_its_golden_file_says(
    night: Night, ledger: Ledger, jira: FakeJira, slack: FakeSlack, name: str, form: str
) -> None:
    happens, action = STORIES[name]
    happens(night)
    opening, message = messages(night, ledger, action)
    if form == "console":
        text = console_text(message, f"{destination('slack', message)}, not sent: no account")
    else:
        sent = send(opening, message, form, jira, slack)
        text = json.dumps(sent, indent=2, ensure_ascii=False) + "\n"
    for secret in (jira.token, slack.token, str(night.folder.parent)):
        assert secret not in text
    path = GOLDEN / f"{name}.{form}.{FORMS[form]}"
    if UPDATE:
        path.write_text(text, encoding="utf-8")
    assert path.is_file(), f"{path} is missing. {UPDATED}"
    assert text == path.read_text(encoding="utf-8"), UPDATED


def test_no_golden_file_is_missing_and_none_is_left_over() -> None:
    found = {path.name for path in GOLDEN.iterdir()}
    if UPDATE:
        for name in found - FILES:
            (GOLDEN / name).unlink()
        found &= FILES
    assert found == FILES, UPDATED
