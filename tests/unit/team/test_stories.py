"""A cause from beginning to end: its ticket, its thread, what is shown of its state, who is called when.

The real clients talk to strict servers over HTTP.
"""

import io
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fakes.jira import FakeJira
from fakes.service import answering, done_but_unanswered
from fakes.slack import FakeSlack
from lastmile.ledger.incidents import Incident, read_incident
from lastmile.ledger.ledger import Ledger
from lastmile.ledger.outbox import read_entries
from lastmile.ledger.tables import incidents, outbox, threads
from lastmile.team.channels import counted, open_channels
from lastmile.team.deliver import DeliveryReport, deliver
from lastmile.team.escalate import escalate
from lastmile.team.events import Event
from lastmile.team.record import record
from lastmile.team.rules import Escalation, Owner, QuietHours, SeverityRule, Silence, TeamRules

MakeEvent = Callable[..., Event]

ISSUE = "/rest/api/3/issue"
POST = "/api/chat.postMessage"

pytestmark = pytest.mark.usefixtures("accounts")


def go(ledger: Ledger, after: float = 0, rules: TeamRules | None = None) -> DeliveryReport:
    """Deliver what is due so many seconds from now."""
    now = datetime.now(UTC) + timedelta(seconds=after)
    channels = open_channels(rules)
    return deliver(ledger, channels, io.StringIO(), now, rules, lambda _: b"<h1>Report</h1>")


def let_pass(ledger: Ledger, days: float) -> None:
    """Move all that the ledger holds into the past."""
    gone = timedelta(days=days)
    with ledger.begin() as connection:
        for table in (incidents, outbox, threads):
            for row in connection.execute(table.select()).mappings().all():
                moments = {
                    name: value - gone for name, value in row.items() if isinstance(value, datetime)
                }
                own = [column == row[column.name] for column in table.primary_key]
                connection.execute(table.update().where(*own).values(moments))


def incident(ledger: Ledger, number: int = 1) -> Incident:
    with ledger.read() as connection:
        return read_incident(connection, number)


def waiting(ledger: Ledger) -> list[tuple[str, str]]:
    with ledger.read() as connection:
        return [(e.channel, e.action) for e in read_entries(connection, (), ("waiting",))]


def released(make_event: MakeEvent, **parts: Any) -> Event:
    return make_event(
        **{"kind": "unchanged", "stage": "", "headline": "All is well.", "tracker": None, "channel": None}
        | parts
    )  # fmt: skip


def root(slack: FakeSlack) -> str:
    return json.dumps(slack.messages[0]["blocks"], ensure_ascii=False)


def test_a_storm_of_repeats_is_one_change_of_count_and_title(
    ledger: Ledger, make_event: MakeEvent, jira: FakeJira, slack: FakeSlack
) -> None:
    record(ledger, make_event(), "k1")
    go(ledger)
    for n in range(20):
        record(ledger, make_event(), f"again {n}")
    assert waiting(ledger) == [("jira", "updated"), ("slack", "updated")]
    assert go(ledger, 30).sent == 0, "more of them may come"
    assert go(ledger, 61).sent == 2
    assert jira.tickets[0].fields["summary"].endswith("(21 times)")
    assert jira.tickets[0].comments == []
    assert "Open since" in root(slack)
    assert "seen 21 times" in root(slack)
    assert len(slack.messages) == 1


def test_repeats_before_the_first_word_was_sent_are_in_it(
    ledger: Ledger, make_event: MakeEvent, jira: FakeJira, slack: FakeSlack
) -> None:
    for n in range(5):
        record(ledger, make_event(), f"k{n}")
    assert go(ledger).sent == 2
    assert jira.tickets[0].fields["summary"].endswith("(5 times)")
    assert "seen 5 times" in root(slack)
    assert waiting(ledger) == []


def test_recovery_closes_the_ticket_and_shows_in_the_first_message(
    ledger: Ledger, make_event: MakeEvent, jira: FakeJira, slack: FakeSlack
) -> None:
    record(ledger, make_event(), "k1")
    go(ledger)
    record(ledger, make_event(), "k2")
    record(ledger, released(make_event), "k3")
    assert go(ledger).sent == 2, "the count goes with the recovery"
    (ticket,) = jira.tickets
    assert ticket.history == ["In Progress", "Done"]
    assert len(ticket.comments) == 1
    assert ticket.fields["summary"].endswith("(2 times)")
    assert "🟢 Recovered" in root(slack)
    assert slack.messages[1]["thread_ts"] == slack.messages[0]["ts"]
    assert not slack.messages[1]["aloud"]


@pytest.mark.parametrize(("days", "goes_on"), [(13, True), (15, False)])
def test_the_same_cause_goes_on_in_its_old_ticket_and_thread_for_a_while(
    ledger: Ledger,
    make_event: MakeEvent,
    jira: FakeJira,
    slack: FakeSlack,
    days: int,
    goes_on: bool,
) -> None:
    record(ledger, make_event(), "k1")
    record(ledger, released(make_event), "k2")
    go(ledger)
    assert jira.tickets[0].status == "Done"
    let_pass(ledger, days)
    record(ledger, make_event(), "k3")
    go(ledger)
    assert len(jira.tickets) == (1 if goes_on else 2)
    assert jira.tickets[-1].status == "To Do"
    roots = [m for m in slack.messages if not m["thread_ts"]]
    assert len(roots) == (1 if goes_on else 2)
    assert slack.messages[-1]["aloud"] == goes_on, "who does not follow the old thread sees it too"
    assert "🔴 Open since" in json.dumps(roots[-1]["blocks"], ensure_ascii=False)
    record(ledger, released(make_event), "k4")
    go(ledger)
    assert [t.status for t in jira.tickets][-1] == "Done"


def test_a_ticket_that_a_person_closed_is_opened_again_by_a_repeat(
    ledger: Ledger, make_event: MakeEvent, jira: FakeJira
) -> None:
    record(ledger, make_event(), "k1")
    go(ledger)
    jira.tickets[0].status = "Done"
    let_pass(ledger, 1)
    record(ledger, make_event(), "k2")
    go(ledger)
    assert (len(jira.tickets), jira.tickets[0].status) == (1, "To Do")


def test_a_lag_of_half_a_minute_makes_no_second_ticket(
    ledger: Ledger, make_event: MakeEvent, jira: FakeJira
) -> None:
    jira.trap("POST", ISSUE, done_but_unanswered)
    record(ledger, make_event(channel=None), "k1")
    go(ledger)
    record(ledger, make_event(channel=None), "k2")
    jira.lag_seconds = 1000
    for second in range(0, 55, 5):
        go(ledger, second)
    jira.lag_seconds = 0
    go(ledger, 70)
    assert len(jira.tickets) == 1
    assert jira.tickets[0].comments == []
    assert list(jira.tickets[0].attachments) == ["report-scheduled__2026-03-01T02_00_00+00_00.html"]


def test_a_ticket_made_later_is_linked_from_the_thread(
    ledger: Ledger, make_event: MakeEvent, jira: FakeJira, slack: FakeSlack
) -> None:
    jira.trap("POST", ISSUE, answering(429))
    record(ledger, make_event(), "k1")
    go(ledger)
    assert "RISK-1" not in root(slack)
    assert go(ledger, 60).sent == 2
    assert f"http://127.0.0.1:{jira.port}/browse/RISK-1" in root(slack)


def test_a_ticket_that_cannot_be_closed_or_given_a_report_is_still_told(
    ledger: Ledger, make_event: MakeEvent, jira: FakeJira, caplog: pytest.LogCaptureFixture
) -> None:
    jira.permissions -= {"TRANSITION_ISSUES", "CREATE_ATTACHMENTS"}
    record(ledger, make_event(channel=None), "k1")
    record(ledger, released(make_event), "k2")
    go(ledger)
    assert [len(t.comments) for t in jira.tickets] == [1]
    assert "No transition leads RISK-1" in caplog.text
    assert "attach a file" in caplog.text


def test_what_a_person_made_of_the_title_stays(
    ledger: Ledger, make_event: MakeEvent, jira: FakeJira
) -> None:
    record(ledger, make_event(), "k1")
    go(ledger)
    jira.tickets[0].fields["summary"] = "Ada: the loans feed is down"
    record(ledger, make_event(), "k2")
    go(ledger, 61)
    assert jira.tickets[0].fields["summary"] == "Ada: the loans feed is down (2 times)"
    assert counted("x" * 400 + " (9 times)", 12).endswith("… (12 times)")
    assert counted("x (3 times)", 1) == "x"


def test_the_owner_of_the_team_file_gets_the_ticket(
    ledger: Ledger, make_event: MakeEvent, jira: FakeJira
) -> None:
    owner = Owner(accounts={"jira": "ada@example.org"}, tracker="OPS", channel="risk-models")
    rules = TeamRules(
        owners={"risk-team": owner}, severity=(SeverityRule(stage="prepare", severity="critical"),)
    )
    record(ledger, make_event(tracker=None, channel=None), "k1", rules)
    assert go(ledger, rules=rules).sent == 2
    fields = jira.tickets[0].fields
    assert (fields["project"]["key"], fields["assignee"]) == ("OPS", {"accountId": "5b-ada"})
    assert fields["priority"] == {"id": "1"}


def test_in_quiet_hours_the_chat_waits_for_the_morning_and_the_tracker_does_not(
    ledger: Ledger, make_event: MakeEvent, jira: FakeJira, slack: FakeSlack
) -> None:
    here = datetime.now(UTC)
    begin, end = ((here + timedelta(minutes=m)).strftime("%H:%M") for m in (-5, 30))
    rules = TeamRules(quiet_hours=QuietHours(begin=begin, end=end))
    record(ledger, make_event(), "k1", rules)
    loud = TeamRules(quiet_hours=rules.quiet_hours, severity=(SeverityRule(severity="critical"),))
    record(ledger, make_event(headline="The disk is full."), "k2", loud)
    assert go(ledger).sent == 3
    assert len(slack.messages) == 1
    assert "disk" in root(slack)
    go(ledger, 31 * 60)
    assert len(slack.messages) == 2


def test_a_silenced_cause_is_counted_and_not_told_until_the_silence_is_over(
    ledger: Ledger, make_event: MakeEvent, jira: FakeJira, slack: FakeSlack
) -> None:
    until = (datetime.now(UTC) + timedelta(days=3)).date()
    rules = TeamRules(silences=(Silence(pipeline="credit_*", ticket="RISK-7", until=until),))
    assert record(ledger, make_event(), "k1", rules).occurrences == 1
    assert record(ledger, make_event(), "k2", rules).occurrences == 2
    assert waiting(ledger) == []
    assert incident(ledger).silence == "RISK-7"
    record(ledger, make_event(), "k3", TeamRules())
    assert incident(ledger).silence == "RISK-7", "as one that was set by hand"
    let_pass(ledger, 5)
    record(ledger, make_event(), "k4", TeamRules())
    assert go(ledger).sent == 2
    assert incident(ledger).silence is None
    assert jira.tickets[0].fields["summary"].endswith("(4 times)")
    assert not slack.messages[0]["thread_ts"]


def test_the_end_of_what_was_never_told_is_no_news(
    ledger: Ledger, make_event: MakeEvent, slack: FakeSlack
) -> None:
    until = datetime.now(UTC).date() + timedelta(days=3)
    rules = TeamRules(silences=(Silence(ticket="RISK-7", until=until),))
    record(ledger, make_event(), "k1", rules)
    record(ledger, released(make_event, channel="risk-models"), "k2", rules)
    go(ledger)
    assert [m["text"].split(" - ")[0] for m in slack.messages] == [
        "credit_risk: nothing was released"
    ]


ESCALATION = Escalation(
    after="2h", severity="medium", channel="leads", accounts={"slack": "U0BOSS"}
)


def test_what_nobody_takes_up_is_passed_on_once(
    ledger: Ledger, make_event: MakeEvent, slack: FakeSlack
) -> None:
    slack.channels["C0LEADS"] = "leads"
    rules = TeamRules(escalation=ESCALATION)
    record(ledger, make_event(), "k1")
    go(ledger)
    now = datetime.now(UTC)
    assert escalate(ledger, rules, open_channels(rules), now + timedelta(hours=1)) == 0
    for _ in range(2):
        escalate(ledger, rules, open_channels(rules), now + timedelta(hours=3))
    assert go(ledger, 3 * 3600 + 1, rules).sent == 2
    first, reply, further = slack.messages
    assert (reply["thread_ts"], reply["aloud"]) == (first["ts"], True)
    assert (further["channel"], further["thread_ts"]) == ("C0LEADS", None)
    for message in (reply, further):
        text = json.dumps(message["blocks"])
        assert "nobody has taken it up since" in text
        assert '"user_id": "U0BOSS"' in text
    record(ledger, released(make_event), "k2")
    go(ledger, 4 * 3600, rules)
    assert slack.messages[-1]["thread_ts"] == first["ts"], "the story stays in its own thread"


@pytest.mark.parametrize("how", ["ticket moved", "silenced", "too little", "over"])
def test_what_somebody_is_at_or_does_not_matter_enough_is_not_passed_on(
    ledger: Ledger, make_event: MakeEvent, jira: FakeJira, how: str
) -> None:
    rules = TeamRules(escalation=ESCALATION)
    record(ledger, make_event(), "k1")
    go(ledger)
    later = datetime.now(UTC) + timedelta(hours=3)
    if how == "ticket moved":
        jira.tickets[0].status = "In Progress"
    elif how == "silenced":
        with ledger.begin() as connection:
            connection.execute(incidents.update().values(silenced_until=later + timedelta(1)))
    elif how == "over":
        record(ledger, released(make_event), "k2")
    else:
        rules = TeamRules(escalation=Escalation(after="2h", severity="critical"))
    assert escalate(ledger, rules, open_channels(rules), later) == 0
    if how == "ticket moved":
        assert incident(ledger).touched_by == "somebody in RISK-1"


def test_a_deliverer_that_dies_between_reply_and_state_leaves_both_right(
    ledger: Ledger, make_event: MakeEvent, slack: FakeSlack
) -> None:
    record(ledger, make_event(tracker=None), "k1")
    go(ledger)
    record(ledger, released(make_event), "k2")
    slack.trap("POST", "/api/chat.update", answering(500, {}))
    assert go(ledger).postponed == 1
    assert go(ledger, 100).sent == 1
    assert len(slack.messages) == 2
    assert "🟢 Recovered" in root(slack)


ATTACH = f"{ISSUE}/RISK-1/attachments"
MOVE = f"{ISSUE}/RISK-1/transitions"


def busy() -> Any:
    return answering(429, {"ok": False, "error": "ratelimited"}, Retry_After="70")


def test_what_is_too_much_after_the_words_leaves_them_said_once(
    ledger: Ledger, make_event: MakeEvent, jira: FakeJira, slack: FakeSlack
) -> None:
    jira.lag_seconds = 1000
    jira.trap("POST", ATTACH, busy())
    record(ledger, make_event(), "k1")
    assert go(ledger) == DeliveryReport(sent=1, postponed=1)
    assert go(ledger, 65) == DeliveryReport(), "it asked for a longer pause"
    assert go(ledger, 80).sent == 1
    assert len(jira.tickets[0].attachments) == 1
    record(ledger, make_event(), "k2")
    record(ledger, released(make_event), "k3")
    jira.trap("PUT", f"{ISSUE}/RISK-1", busy())
    jira.trap("POST", MOVE, busy())
    slack.trap("POST", "/api/chat.update", busy())
    for second in range(100, 1000, 100):
        go(ledger, second)
    (ticket,) = jira.tickets
    assert (ticket.status, len(ticket.comments)) == ("Done", 1)
    assert ticket.fields["summary"].endswith("(2 times)")
    assert len(slack.messages) == 2
    assert "🟢 Recovered" in root(slack)
    assert waiting(ledger) == []


def test_a_cause_that_came_back_is_said_once_though_its_state_cannot_be_shown_at_first(
    ledger: Ledger, make_event: MakeEvent, jira: FakeJira, slack: FakeSlack
) -> None:
    record(ledger, make_event(), "k1")
    record(ledger, released(make_event), "k2")
    go(ledger)
    record(ledger, make_event(), "k3")
    slack.trap("POST", "/api/chat.update", busy())
    jira.trap("POST", ATTACH, busy())
    for second in (0, 100, 200):
        go(ledger, second)
    assert [len(t.comments) for t in jira.tickets] == [2]
    assert len(slack.messages) == 3
    assert "🔴 Open since" in root(slack)


def test_a_workspace_that_lets_nobody_change_old_messages_still_hears_all(
    ledger: Ledger, make_event: MakeEvent, slack: FakeSlack
) -> None:
    record(ledger, make_event(tracker=None), "k1")
    go(ledger)
    record(ledger, released(make_event), "k2")
    closed = answering(200, {"ok": False, "error": "edit_window_closed"})
    slack.trap("POST", "/api/chat.update", closed)
    assert go(ledger).sent == 1
    assert len(slack.messages) == 2


def test_what_is_shown_is_the_newest_incident_of_a_cause_whichever_message_comes_last(
    ledger: Ledger, make_event: MakeEvent, jira: FakeJira, slack: FakeSlack
) -> None:
    jira.trap("POST", ISSUE, answering(429))
    record(ledger, make_event(), "k1")
    go(ledger)
    record(ledger, released(make_event), "k2")
    go(ledger)
    record(ledger, make_event(), "k3")
    for second in (60, 120, 180):
        go(ledger, second)
    assert waiting(ledger) == []
    assert "🔴 Open since" in root(slack)
    assert "RISK-1" in root(slack)


def test_a_storm_of_ten_causes_is_ten_tickets_and_ten_threads(
    ledger: Ledger, make_event: MakeEvent, jira: FakeJira, slack: FakeSlack
) -> None:
    words = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa"]

    def fail_and_deliver(number: int) -> None:
        for n in range(30):
            record(
                ledger, make_event(headline=f"{words[n % 10]} broke."), f"{number}/{n}", TeamRules()
            )
            if n % 10 == 9:
                go(ledger)

    with ThreadPoolExecutor(4) as four:
        list(four.map(fail_and_deliver, range(4)))
    go(ledger, 400)
    assert len(jira.tickets) == 10
    assert len(slack.messages) == 10
    assert all(t.fields["summary"].endswith("(12 times)") for t in jira.tickets)
    assert all("seen 12 times" in json.dumps(m["blocks"]) for m in slack.messages)
    assert waiting(ledger) == []
