"""What people do with incidents, by the functions and by the command line."""

import io
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from typer.testing import CliRunner

from fakes.jira import FakeJira
from fakes.service import answering
from fakes.slack import FakeSlack
from lastmile.cli.incidents import incidents_app
from lastmile.errors import PermanentError
from lastmile.ledger.ledger import Ledger
from lastmile.ledger.outbox import read_entries
from lastmile.settings import Settings
from lastmile.team.channels import open_channels
from lastmile.team.deliver import DeliveryReport, deliver
from lastmile.team.events import Event
from lastmile.team.handle import resend, resolve, silence, take
from lastmile.team.listing import list_incidents, render
from lastmile.team.record import record
from lastmile.team.rules import TeamRules

MakeEvent = Callable[..., Event]
NOW = datetime.now(UTC)


def go(ledger: Ledger, after: float = 0) -> DeliveryReport:
    return deliver(
        ledger, open_channels(), io.StringIO(), datetime.now(UTC) + timedelta(seconds=after)
    )


def shown(slack: FakeSlack) -> str:
    return json.dumps(slack.messages[0]["blocks"], ensure_ascii=False)


@pytest.mark.usefixtures("accounts")
def test_who_takes_an_incident_up_is_shown(
    ledger: Ledger, make_event: MakeEvent, slack: FakeSlack
) -> None:
    record(ledger, make_event(), "k1")
    go(ledger)
    assert take(ledger, 1, "ada", NOW).touched_by == "ada"
    assert take(ledger, 1, "bob", NOW).touched_by == "ada", "who was first stays"
    go(ledger)
    assert "ada is at it" in shown(slack)
    assert "taken up by ada" in render(list_incidents(ledger))


@pytest.mark.usefixtures("accounts")
def test_a_person_may_say_that_it_is_over(
    ledger: Ledger, make_event: MakeEvent, jira: FakeJira, slack: FakeSlack
) -> None:
    record(ledger, make_event(), "k1")
    go(ledger)
    assert resolve(ledger, TeamRules(), 1, "ada", "the feed is back", NOW).status == "recovered"
    go(ledger)
    assert jira.tickets[0].status == "Done"
    assert "ada says that it is over: the feed is back" in slack.messages[1]["text"]
    assert "🟢 Recovered" in shown(slack)
    for act in (
        lambda: resolve(ledger, TeamRules(), 1, "ada", "", NOW),
        lambda: take(ledger, 9, "ada", NOW),
    ):
        with pytest.raises(
            PermanentError, match=r"Incident 1 is recovered|Incident 9 is not there"
        ):
            act()


@pytest.mark.usefixtures("accounts")
def test_a_silence_set_by_hand_holds_and_is_shown(
    ledger: Ledger, make_event: MakeEvent, slack: FakeSlack
) -> None:
    record(ledger, make_event(), "k1")
    go(ledger)
    silence(ledger, 1, "RISK-7", NOW + timedelta(days=2), NOW)
    go(ledger)
    assert "🔕 Silenced by RISK-7" in shown(slack)
    record(ledger, make_event(), "k2")
    assert go(ledger, 3600) == DeliveryReport()
    assert "silenced by RISK-7 until" in render(list_incidents(ledger))
    with pytest.raises(PermanentError, match="needs a ticket"):
        silence(ledger, 1, " ", NOW + timedelta(days=2), NOW)
    with pytest.raises(PermanentError, match="over already"):
        silence(ledger, 1, "RISK-7", NOW, NOW)


@pytest.mark.usefixtures("accounts")
def test_what_was_given_up_is_sent_again(
    ledger: Ledger, make_event: MakeEvent, slack: FakeSlack, jira: FakeJira
) -> None:
    record(ledger, make_event(channel="elsewhere"), "k1")
    assert go(ledger) == DeliveryReport(sent=1, dead=1)
    slack.channels["C0ELSE"] = "elsewhere-2"
    slack.channels["C0NEW"] = "elsewhere"
    slack.channels["C0NEW"] = "risk-new"
    with pytest.raises(PermanentError, match="Message 1, 77 cannot be sent again"):
        resend(ledger, [1, 77], NOW)
    assert resend(ledger, [], NOW) == [2]
    assert go(ledger).dead == 1, "the channel is gone now"
    slack.channels["C0NEW"] = "elsewhere"
    assert len(jira.tickets) == 1


@pytest.mark.usefixtures("accounts")
def test_what_waits_is_tried_at_once_but_not_what_may_be_on_its_way(
    ledger: Ledger, make_event: MakeEvent, slack: FakeSlack, jira: FakeJira
) -> None:
    slack.trap("POST", "/api/chat.postMessage", answering(429))
    jira.trap("POST", "/rest/api/3/issue", answering(500))
    record(ledger, make_event(), "k1")
    assert go(ledger).postponed == 2
    assert resend(ledger, [], datetime.now(UTC)) == [2]
    assert go(ledger).sent == 1
    with ledger.read() as connection:
        assert [e.channel for e in read_entries(connection, (), ("waiting",))] == ["jira"]


@pytest.fixture
def command(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    monkeypatch.setenv("LASTMILE_ROOT", str(settings.root))
    monkeypatch.setenv("LASTMILE_HOME", str(settings.home))

    def run(*arguments: str) -> str:
        result = CliRunner().invoke(incidents_app, arguments, catch_exceptions=False)
        return result.stdout

    return run


@pytest.mark.usefixtures("accounts")
def test_all_of_it_from_the_command_line(
    command: Callable[..., str], ledger: Ledger, make_event: MakeEvent, slack: FakeSlack
) -> None:
    slack.trap("POST", "/api/chat.postMessage", answering(429))
    assert command() == "No incident is open.\n"
    record(ledger, make_event(), "k1")
    assert "jira RISK: opened, sent as RISK-1" in command("--deliver")
    assert json.loads(command("--json"))["open"][0]["told"][1]["status"] == "waiting"
    assert command("resend") == "Tried again: 2. Sent now: 1. The rest: lastmile incidents\n"
    assert command("resend") == "Nothing waits, and nothing was given up.\n"
    assert command("take", "1", "--by", "ada") == "#1 of credit_risk is taken up by ada.\n"
    tomorrow = f"{datetime.now(UTC) + timedelta(days=1):%Y-%m-%d}"
    said = command("silence", "1", "--ticket", "RISK-7", "--until", tomorrow)
    assert said.startswith("#1 of credit_risk is silenced until ")
    ended = json.loads(command("resolve", "1", "--reason", "mended", "--json"))
    assert (ended["status"], ended["silence"]) == ("recovered", "RISK-7")
    assert command() == "No incident is open.\n"
