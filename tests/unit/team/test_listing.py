"""`lastmile incidents`: what is open, what was told to whom, what waits and why."""

import io
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from fakes.service import answering
from fakes.slack import FakeSlack
from lastmile.ledger.ledger import Ledger
from lastmile.team.channels import open_channels
from lastmile.team.deliver import deliver
from lastmile.team.events import Event
from lastmile.team.listing import IncidentList, list_incidents, render
from lastmile.team.record import record

MakeEvent = Callable[..., Event]


def go(ledger: Ledger) -> None:
    deliver(ledger, open_channels(), io.StringIO(), datetime.now(UTC))


def test_nothing_open_is_said(ledger: Ledger) -> None:
    assert render(list_incidents(ledger)) == "No incident is open."


@pytest.mark.usefixtures("accounts")
def test_an_open_incident_shows_since_when_how_often_whose_and_what_was_told(
    ledger: Ledger, make_event: MakeEvent, slack: FakeSlack
) -> None:
    record(ledger, make_event(kind="unchanged", headline="Nothing."), "k0")
    go(ledger)
    slack.faults.append(answering(429, {"ok": False, "error": "ratelimited"}, Retry_After="60"))
    record(ledger, make_event(), "k1")
    record(ledger, make_event(), "k2")
    go(ledger)
    listed = list_incidents(ledger)
    (one,) = listed.open
    assert (one.incident.occurrences, one.incident.owner) == (2, "risk-team")
    assert [(t.channel, t.status, t.remote_id) for t in one.told] == [
        ("jira", "sent", "RISK-1"), ("slack", "waiting", None),
    ]  # fmt: skip
    assert [t.channel for t in listed.stuck] == ["slack"]
    lines = render(listed).splitlines()
    assert lines[0] == "#2 failure of credit_risk, prepare (medium): The source loans has 0 rows."
    assert "seen 2 times" in lines[1]
    assert "owner risk-team; first run scheduled__2026-03-01T02:00:00+00:00" in lines[1]
    assert lines[2] == "    to do: See where it comes from."
    assert lines[3] == "    jira RISK: opened, sent as RISK-1"
    assert lines[4].startswith(
        "    message 3 to slack risk-models: opened, waiting after 1 attempts, next 2"
    )
    assert lines[4].endswith("UTC: Slack takes no more messages for now.")
    assert len(lines) == 5


def test_what_was_only_printed_says_why(ledger: Ledger, make_event: MakeEvent) -> None:
    record(ledger, make_event(), "k1")
    go(ledger)
    text = render(list_incidents(ledger))
    assert "    jira RISK: opened, printed: not sent: no account" in text


@pytest.mark.usefixtures("accounts")
def test_what_waits_of_an_incident_that_is_over_is_still_shown(
    ledger: Ledger, make_event: MakeEvent
) -> None:
    record(ledger, make_event(tracker="NOPE", channel="nowhere"), "k1")
    record(ledger, make_event(kind="release", headline="Version 3."), "k2")
    go(ledger)
    text = render(list_incidents(ledger))
    assert text.startswith("No incident is open.\nOther messages that were not delivered:\n")
    assert "    message 1 to jira NOPE: opened, dead: Jira refused" in text
    assert "    message 2 to slack nowhere: opened, dead: Slack refused" in text
    assert "k2" not in text
    assert "was released" not in text


def test_the_list_is_one_json_document(ledger: Ledger, make_event: MakeEvent) -> None:
    record(ledger, make_event(), "k1")
    listed = list_incidents(ledger)
    assert IncidentList.model_validate_json(listed.model_dump_json()) == listed
