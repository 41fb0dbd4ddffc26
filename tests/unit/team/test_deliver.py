"""Delivery: each message once and in order, whatever the other side does, and nothing is ever lost.

The real `jira` and `slack-sdk` clients talk to strict servers over HTTP.
"""

import io
import logging
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
import sqlalchemy as sa

from fakes import jira as jira_fake
from fakes import slack as slack_fake
from fakes.jira import FakeJira
from fakes.service import Answer, Asked, answering, cut_off, done_but_unanswered
from fakes.slack import FakeSlack
from lastmile.ledger.incidents import OutboxEntry
from lastmile.ledger.ledger import Ledger
from lastmile.ledger.outbox import claim, next_due, read_entries, settle
from lastmile.ledger.tables import incidents, outbox, sightings
from lastmile.settings import Settings
from lastmile.team import deliver as module
from lastmile.team.channels import open_channels
from lastmile.team.deliver import DeliveryReport, deliver, deliver_now
from lastmile.team.events import Event
from lastmile.team.listing import list_incidents, render
from lastmile.team.record import record
from lastmile.team.spool import spool

MakeEvent = Callable[..., Event]

ISSUE = "/rest/api/3/issue"
POST = "/api/chat.postMessage"


def go(ledger: Ledger, after: float = 0, console: io.StringIO | None = None) -> DeliveryReport:
    """Deliver what is due so many seconds from now."""
    now = datetime.now(UTC) + timedelta(seconds=after)
    return deliver(ledger, open_channels(), console or io.StringIO(), now)


def messages(ledger: Ledger, channel: str | None = None) -> list[OutboxEntry]:
    with ledger.read() as connection:
        entries = read_entries(connection, (), ("waiting", "sent", "printed", "dead"))
    return [e for e in entries if channel in {None, e.channel}]


def only(ledger: Ledger, channel: str) -> OutboxEntry:
    (entry,) = messages(ledger, channel)
    return entry


def let_an_hour_pass(ledger: Ledger) -> None:
    with ledger.begin() as connection:
        connection.execute(
            outbox.update().values(
                created_at=outbox.c.created_at, next_attempt_at=datetime.now(UTC)
            )
        )
        earlier = datetime.now(UTC) - timedelta(hours=2)
        connection.execute(outbox.update().values(created_at=earlier))


def recover(ledger: Ledger, make_event: MakeEvent) -> None:
    """Release something, so that what was open is over. The release's own messages are left out."""
    record(ledger, make_event(kind="release", stage="deploy", headline="Version 3."), "release")
    with ledger.begin() as connection:
        connection.execute(outbox.delete().where(outbox.c.key.like("release:%:opened")))


# One cause, one ticket, one thread


@pytest.mark.usefixtures("accounts")
def test_a_cause_is_one_ticket_and_one_thread_from_first_word_to_recovery(
    ledger: Ledger, make_event: MakeEvent, jira: FakeJira, slack: FakeSlack
) -> None:
    record(ledger, make_event(), "night 1")
    assert go(ledger) == DeliveryReport(sent=2)
    let_an_hour_pass(ledger)
    record(ledger, make_event(run_id="night 2"), "night 2")
    assert go(ledger) == DeliveryReport(sent=2)
    record(ledger, make_event(kind="release", headline="Version 3."), "night 3")
    assert go(ledger) == DeliveryReport(sent=4)
    trouble, release = jira.tickets
    assert "failed in prepare" in trouble.fields["summary"]
    assert "was released" in release.fields["summary"]
    assert len(trouble.comments) == 2
    assert [m["thread_ts"] for m in slack.messages] == [
        None, slack.messages[0]["ts"], None, slack.messages[0]["ts"],
    ]  # fmt: skip
    assert [e.remote_id for e in messages(ledger, "jira")] == [
        "RISK-1",
        "RISK-1",
        "RISK-2",
        "RISK-1",
    ]
    assert all(e.status == "sent" and e.settled_at and not e.unsettled for e in messages(ledger))
    assert go(ledger, 100_000) == DeliveryReport()


@pytest.mark.usefixtures("accounts")
@pytest.mark.parametrize("status", ["To Do", "Done", "deleted"])
def test_the_same_cause_after_recovery_goes_to_its_ticket_while_that_is_open(
    ledger: Ledger, make_event: MakeEvent, jira: FakeJira, status: str
) -> None:
    jira.lag_seconds = 1000  # the search does not know of any ticket yet
    record(ledger, make_event(), "night 1")
    recover(ledger, make_event)
    go(ledger)
    if status == "deleted":
        jira.tickets.clear()
    else:
        jira.tickets[0].status = status
    record(ledger, make_event(), "night 3")
    go(ledger)
    if status in {"To Do", "Done"}:
        assert [len(t.comments) for t in jira.tickets] == [2]
        assert jira.tickets[0].status == "To Do"
    else:
        assert "failed in prepare" in jira.tickets[-1].fields["summary"]
        assert jira.tickets[-1].comments == []


@pytest.mark.usefixtures("accounts")
def test_a_cause_that_comes_back_while_jira_is_down_still_makes_one_ticket(
    ledger: Ledger, make_event: MakeEvent, jira: FakeJira
) -> None:
    jira.lag_seconds = 1000
    jira.faults.extend([answering(503, None, Retry_After="60")])
    record(ledger, make_event(), "night 1")
    assert go(ledger).postponed == 1
    recover(ledger, make_event)
    record(ledger, make_event(), "night 3")
    go(ledger)
    assert jira.tickets == []
    go(ledger, 100)
    assert len(jira.tickets) == 1
    assert [e.status for e in messages(ledger, "jira")].count("sent") == 3


# Without an account


def test_without_an_account_the_text_goes_to_the_console_once_and_is_marked_as_not_sent(
    ledger: Ledger, make_event: MakeEvent
) -> None:
    record(ledger, make_event(), "k1")
    console = io.StringIO()
    assert go(ledger, console=console) == DeliveryReport(printed=2)
    text = console.getvalue()
    assert "Jira ticket in RISK, not sent: no account" in text
    assert "Slack message to #risk-models, not sent: no account" in text
    assert text.count("The source loans has 0 rows.") == 2
    assert {(e.status, e.error, e.remote_id) for e in messages(ledger)} == {
        ("printed", "not sent: no account", None)
    }
    assert go(ledger, 100_000, console) == DeliveryReport()
    assert console.getvalue() == text


@pytest.mark.usefixtures("accounts")
def test_a_pipeline_that_names_nobody_is_told_on_the_console(
    ledger: Ledger, make_event: MakeEvent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LASTMILE_CONNECTION_JIRA", "wrong, but of no matter here")
    record(ledger, make_event(tracker=None, channel=None), "k1")
    assert go(ledger) == DeliveryReport(printed=2)
    assert only(ledger, "jira").error == "not sent: the pipeline names no team.tracker"
    assert only(ledger, "slack").error == "not sent: the pipeline names no team.channel"


def test_a_recovery_whose_beginning_was_only_printed_is_printed_too(
    ledger: Ledger, make_event: MakeEvent, jira: FakeJira, slack: FakeSlack,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    record(ledger, make_event(), "k1")
    go(ledger)
    monkeypatch.setenv("LASTMILE_CONNECTION_JIRA", jira.connection_url)
    monkeypatch.setenv("LASTMILE_CONNECTION_SLACK", slack.connection_url)
    recover(ledger, make_event)
    assert go(ledger) == DeliveryReport(printed=2)
    assert jira.tickets == []
    assert slack.messages == []


def test_a_wrong_account_keeps_its_messages_until_it_is_mended(
    ledger: Ledger, make_event: MakeEvent, jira: FakeJira, slack: FakeSlack,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("LASTMILE_CONNECTION_JIRA", "https://pl4nted-s3cret@")
    wrong = slack.connection_url.replace("t0ken", "pl4nted-s3cret")
    monkeypatch.setenv("LASTMILE_CONNECTION_SLACK", wrong)
    record(ledger, make_event(), "k1")
    assert go(ledger) == DeliveryReport(postponed=2)
    reasons = [e.error for e in messages(ledger)]
    assert reasons[0].startswith("The connection 'jira' lacks host or secret.")
    assert "invalid_auth" in reasons[1]
    assert "s3cret" not in "".join(reasons)
    assert not any(e.unsettled for e in messages(ledger))
    monkeypatch.setenv("LASTMILE_CONNECTION_JIRA", jira.connection_url)
    monkeypatch.setenv("LASTMILE_CONNECTION_SLACK", slack.connection_url)
    assert go(ledger, 60) == DeliveryReport(sent=2)


# Four deliverers

DELIVER = """
import sys
from lastmile.ledger.ledger import Ledger
from lastmile.team.deliver import deliver_now
print(deliver_now(Ledger(sys.argv[1])).model_dump_json())
"""


@pytest.mark.usefixtures("accounts")
def test_four_deliverers_at_once_send_each_message_once_and_in_order(
    ledger_url: str, make_event: MakeEvent, jira: FakeJira, slack: FakeSlack
) -> None:
    all_four = threading.Barrier(4)

    def together(asked: Asked, work: Callable[[Asked], Answer]) -> Answer:
        all_four.wait(60)
        return work(asked)

    jira.trap("POST", ISSUE, together, together)
    slack.trap("POST", POST, together, together)
    ledger = Ledger(ledger_url)
    for word in ("alpha", "beta", "gamma", "delta", "epsilon", "zeta"):
        record(ledger, make_event(headline=f"{word} broke."), word)
    recover(ledger, make_event)
    deliverers = [
        subprocess.Popen(
            [sys.executable, "-c", DELIVER, ledger_url],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for _ in range(4)
    ]  # fmt: skip
    answers = [process.communicate() for process in deliverers]
    assert [p.returncode for p in deliverers] == [0] * 4, answers
    reports = [DeliveryReport.model_validate_json(out) for out, _ in answers]
    assert all(report.sent for report in reports)
    go(ledger)  # what was not free yet when the last of them looked
    assert [len(t.comments) for t in jira.tickets] == [1] * 6
    roots = [m["ts"] for m in slack.messages if not m["thread_ts"]]
    assert len(slack.messages) == 12
    assert sorted(m["thread_ts"] for m in slack.messages if m["thread_ts"]) == sorted(roots)
    assert {(e.status, e.attempts) for e in messages(ledger)} == {("sent", 1)}


def test_who_comes_late_settles_nothing(ledger_url: str, make_event: MakeEvent) -> None:
    ledger, now = Ledger(ledger_url), datetime.now(UTC) + timedelta(seconds=1)
    record(ledger, make_event(channel=None), "k1")
    with ledger.begin() as connection:
        entry = next_due(connection, now, {"slack"})
        assert entry is not None
        late = claim(connection, entry, now, 300)
        assert late is not None
        assert claim(connection, entry, now, 300) is None
        assert next_due(connection, now + timedelta(seconds=299), {"slack"}) is None
        again = next_due(connection, now + timedelta(seconds=301), {"slack"})
        assert again is not None
        assert again.unsettled
        taken = claim(connection, again, now, 300)
        assert taken is not None
        assert not settle(connection, late, now, "sent", "RISK-1")
        assert settle(connection, taken, now, "sent", "RISK-2")
    assert only(ledger, "jira").remote_id == "RISK-2"


# Order


@pytest.mark.usefixtures("accounts")
def test_what_comes_later_waits_for_what_came_first(
    ledger: Ledger, make_event: MakeEvent, jira: FakeJira, slack: FakeSlack
) -> None:
    jira.trap("POST", ISSUE, answering(429))
    slack.trap("POST", POST, answering(429))
    record(ledger, make_event(), "k1")
    go(ledger)
    recover(ledger, make_event)
    assert go(ledger).sent == 0
    assert go(ledger, 60).sent == 4
    assert len(jira.tickets[0].comments) == 1
    assert [m["thread_ts"] for m in slack.messages] == [None, slack.messages[0]["ts"]]


@pytest.mark.usefixtures("accounts")
def test_another_cause_does_not_wait(
    ledger: Ledger, make_event: MakeEvent, jira: FakeJira, slack: FakeSlack
) -> None:
    jira.trap("POST", ISSUE, answering(500))
    record(ledger, make_event(), "k1")
    go(ledger)
    record(ledger, make_event(headline="The disk is full."), "k2")
    assert go(ledger).sent == 2
    assert "disk" in jira.tickets[0].fields["summary"]


# Trying again


@pytest.mark.usefixtures("accounts")
def test_pauses_grow_to_half_an_hour(
    ledger: Ledger, make_event: MakeEvent, slack: FakeSlack
) -> None:
    slack.trap("POST", POST, *[answering(429)] * 10)
    record(ledger, make_event(tracker=None), "k1")
    now, pauses = datetime.now(UTC), []
    for _ in range(10):
        assert deliver(ledger, open_channels(), io.StringIO(), now).postponed == 1
        then = only(ledger, "slack").next_attempt_at
        pauses.append((then - now).total_seconds())
        now = then + timedelta(milliseconds=1)
    bounds = [(min(15 * 2**n, 1800) / 2, min(15 * 2**n, 1800) + 2) for n in range(10)]
    assert all(low <= p <= high for p, (low, high) in zip(pauses, bounds, strict=True)), pauses
    assert pauses[9] > 20 * pauses[0]
    assert deliver(ledger, open_channels(), io.StringIO(), now).sent == 1


@pytest.mark.usefixtures("accounts")
def test_jitter_keeps_deliverers_apart() -> None:
    pauses = {module._pause(8, None) for _ in range(20)}
    assert len(pauses) == 20
    assert all(100 <= module._pause(1, 100) <= 110 for _ in range(20)), "never before it may"


@pytest.mark.usefixtures("accounts")
def test_a_system_that_asks_for_a_pause_gets_it_for_all_that_waits(
    ledger: Ledger, make_event: MakeEvent, jira: FakeJira, slack: FakeSlack
) -> None:
    slack.trap(
        "POST", POST, answering(429, {"ok": False, "error": "ratelimited"}, Retry_After="120")
    )
    jira.trap("POST", ISSUE, answering(503, {"errorMessages": []}, Retry_After="90"))
    for word in ("alpha", "beta", "gamma"):
        record(ledger, make_event(headline=f"{word} broke."), word)
    assert go(ledger) == DeliveryReport(postponed=2)
    assert go(ledger, 85) == DeliveryReport()
    assert go(ledger, 115).sent == 3
    assert slack.count("POST", POST) == 1
    assert len(jira.tickets) == 3
    assert go(ledger, 140) == DeliveryReport(sent=3)
    assert len(slack.messages) == 3


@pytest.mark.usefixtures("accounts")
def test_a_system_that_is_down_is_asked_once_a_pass_and_the_other_goes_on(
    ledger: Ledger, make_event: MakeEvent, jira: FakeJira, slack: FakeSlack
) -> None:
    jira.faults.extend([cut_off] * 20)
    for word in ("alpha", "beta", "gamma"):
        record(ledger, make_event(headline=f"{word} broke."), word)
    assert go(ledger) == DeliveryReport(sent=3, postponed=1)
    assert len(slack.messages) == 3
    assert len(jira.asked) == 1


@pytest.mark.usefixtures("accounts")
def test_both_down_for_a_night_and_all_is_told_once_in_the_morning(
    ledger: Ledger, make_event: MakeEvent, jira: FakeJira, slack: FakeSlack
) -> None:
    jira.faults.extend([answering(503)] * 200)
    slack.faults.extend([answering(503, b"down")] * 200)
    record(ledger, make_event(), "k1")
    record(ledger, make_event(headline="The disk is full."), "k2")
    for hour in range(8):
        assert go(ledger, hour * 3600).sent == 0
    recover(ledger, make_event)
    jira.faults.clear()
    slack.faults.clear()
    assert go(ledger, 9 * 3600).sent == 8
    assert [len(t.comments) for t in jira.tickets] == [1, 1]
    assert len([m for m in slack.messages if m["thread_ts"]]) == len(slack.messages) / 2 == 2


# Answers that never came


@pytest.mark.usefixtures("accounts")
def test_a_ticket_whose_answer_never_came_is_looked_for_before_another_is_made(
    ledger: Ledger, make_event: MakeEvent, jira: FakeJira
) -> None:
    jira.lag_seconds = 1000
    jira.trap("POST", ISSUE, done_but_unanswered)
    record(ledger, make_event(channel=None), "k1")
    assert go(ledger).postponed == 1
    assert only(ledger, "jira").unsettled
    assert go(ledger, 55) == DeliveryReport(), "Jira's search lags: not yet"
    jira.lag_seconds = 0
    assert go(ledger, 70).sent == 1
    assert only(ledger, "jira").remote_id == "RISK-1"
    assert [len(t.comments) for t in jira.tickets] == [0]


@pytest.mark.usefixtures("accounts")
def test_a_comment_whose_answer_never_came_is_looked_for_before_another_is_made(
    ledger: Ledger, make_event: MakeEvent, jira: FakeJira
) -> None:
    record(ledger, make_event(channel=None), "k1")
    go(ledger)
    recover(ledger, make_event)
    jira.trap("POST", f"{ISSUE}/RISK-1/comment", done_but_unanswered, cut_off)
    assert go(ledger).postponed == 1
    assert go(ledger, 100).sent == 1
    assert [len(t.comments) for t in jira.tickets] == [1]


@pytest.mark.usefixtures("accounts")
@pytest.mark.parametrize("fault", [done_but_unanswered, cut_off])
def test_a_post_whose_answer_never_came_is_looked_for_before_another_is_made(
    ledger: Ledger, make_event: MakeEvent, slack: FakeSlack, fault: Any
) -> None:
    slack.trap("POST", POST, fault)
    record(ledger, make_event(tracker=None), "k1")
    assert go(ledger).postponed == 1
    assert go(ledger, 100).sent == 1
    recover(ledger, make_event)
    slack.trap("POST", POST, fault)
    assert go(ledger).postponed == 1
    assert go(ledger, 100).sent == 1
    first, reply = slack.messages
    assert reply["thread_ts"] == first["ts"]


@pytest.mark.usefixtures("accounts")
def test_doubt_stays_while_an_attempt_in_between_was_surely_not_taken(
    ledger: Ledger, make_event: MakeEvent, slack: FakeSlack
) -> None:
    slack.trap("POST", POST, done_but_unanswered)
    record(ledger, make_event(tracker=None), "k1")
    go(ledger)
    slack.faults.append(answering(429))
    go(ledger, 100)
    assert only(ledger, "slack").unsettled
    go(ledger, 1000)
    assert len(slack.messages) == 1


@pytest.mark.usefixtures("accounts")
def test_a_bot_that_may_not_read_says_that_the_message_may_come_twice(
    ledger: Ledger, make_event: MakeEvent, slack: FakeSlack, caplog: pytest.LogCaptureFixture
) -> None:
    slack.scopes -= {"channels:read", "channels:history"}
    slack.trap("POST", POST, cut_off)
    record(ledger, make_event(tracker=None), "k1")
    go(ledger)
    assert go(ledger, 100).sent == 1
    assert "missing_scope" in caplog.text
    assert "may come twice" in caplog.text


@pytest.mark.usefixtures("accounts")
def test_a_deliverer_that_is_killed_after_the_ticket_was_made_leaves_one_ticket(
    ledger_url: str, make_event: MakeEvent, jira: FakeJira
) -> None:
    made, may_go = threading.Event(), threading.Event()

    def made_and_then_silence(asked: Asked, work: Callable[[Asked], Answer]) -> None:
        work(asked)
        made.set()
        may_go.wait(30)

    jira.trap("POST", ISSUE, made_and_then_silence)
    ledger = Ledger(ledger_url)
    record(ledger, make_event(channel=None), "k1")
    killed = subprocess.Popen(
        [sys.executable, "-c", DELIVER, ledger_url],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert made.wait(30)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    may_go.set()
    assert go(ledger, 290).sent == 0, "it might still be at work"
    assert go(ledger, 310).sent == 1
    assert len(jira.tickets) == 1
    assert only(ledger, "jira").remote_id == "RISK-1"


# What cannot be delivered


@pytest.mark.usefixtures("accounts")
def test_what_is_refused_for_good_is_dead_visible_and_in_nobodys_way(
    ledger: Ledger, make_event: MakeEvent, jira: FakeJira, slack: FakeSlack,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    record(ledger, make_event(tracker="NOPE", channel="elsewhere"), "k1")
    record(ledger, make_event(headline="The disk is full."), "k2")
    assert go(ledger) == DeliveryReport(sent=2, dead=2)
    assert go(ledger, 100_000) == DeliveryReport()
    assert caplog.text.count("is given up") == 2
    listed = list_incidents(ledger)
    assert [(t.channel, t.status) for t in listed.stuck] == [("jira", "dead"), ("slack", "dead")]
    text = render(listed)
    assert "jira NOPE: opened, dead: Jira refused to" in text
    assert (
        "slack elsewhere: opened, dead: Slack refused to post to elsewhere (not_in_channel)."
        in text
    )


@pytest.mark.usefixtures("accounts")
def test_after_about_three_days_it_is_given_up(
    ledger: Ledger, make_event: MakeEvent, slack: FakeSlack
) -> None:
    slack.faults.extend([answering(429)] * 2)
    record(ledger, make_event(tracker=None), "k1")
    go(ledger)
    with ledger.begin() as connection:
        connection.execute(outbox.update().values(attempts=module.MOST_ATTEMPTS - 1))
    assert go(ledger, 100).dead == 1
    assert only(ledger, "slack").error.endswith("Given up after 200 attempts.")
    longest = module.LONGEST_PAUSE_SECONDS * 0.75 * module.MOST_ATTEMPTS
    assert 2.5 * 86_400 < longest < 3.5 * 86_400


@pytest.mark.usefixtures("accounts")
def test_an_answer_that_nobody_foresaw_holds_up_no_other_message(
    ledger: Ledger, make_event: MakeEvent, jira: FakeJira, slack: FakeSlack
) -> None:
    jira.trap("GET", "/rest/api/3/project/RISK", answering(200, {"issueTypes": [{"odd": 1}]}))
    record(ledger, make_event(), "k1")
    assert go(ledger) == DeliveryReport(sent=1, postponed=1)
    assert "KeyError" in only(ledger, "jira").error
    assert go(ledger, 100).sent == 2, "the ticket, and its address in the thread"


@pytest.mark.usefixtures("accounts")
def test_an_entry_of_another_version_is_dead_and_visible(
    ledger: Ledger, make_event: MakeEvent
) -> None:
    record(ledger, make_event(), "k1")
    record(ledger, make_event(headline="The disk is full."), "k2")
    with ledger.begin() as connection:
        connection.execute(outbox.update().where(outbox.c.id <= 2).values(body={"v": 99}))
    assert go(ledger) == DeliveryReport(sent=2, dead=2)
    assert "no message of this Lastmile" in render(list_incidents(ledger))


# What was spooled


@pytest.mark.usefixtures("accounts")
def test_a_pass_first_records_what_was_spooled(
    settings: Settings, ledger: Ledger, make_event: MakeEvent, slack: FakeSlack
) -> None:
    spool(settings.home_path, make_event(), "k1")
    assert deliver_now(ledger, settings) == DeliveryReport(sent=2)
    assert deliver_now(ledger, settings) == DeliveryReport()
    assert len(slack.messages) == 1


# Secrets


@pytest.mark.usefixtures("accounts")
def test_no_token_is_in_any_log_reason_message_or_row(
    ledger: Ledger, make_event: MakeEvent, jira: FakeJira, slack: FakeSlack,
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    tokens = (jira_fake.TOKEN, slack_fake.TOKEN)
    echoed = " ".join(tokens)
    console = io.StringIO()
    jira.faults.extend(
        [answering(401, echoed.encode()), answering(500, {"errorMessages": [echoed]}),
         answering(403, {"errorMessages": [echoed]}), cut_off]
    )  # fmt: skip
    slack.faults.extend(
        [answering(200, {"ok": False, "error": "invalid_auth", "needed": echoed}), cut_off,
         answering(502, echoed.encode()), answering(200, echoed.encode())]
    )  # fmt: skip
    with caplog.at_level(logging.DEBUG):
        record(ledger, make_event(headline=f"No login with {echoed}."), "k1")
        for n in range(6):
            go(ledger, n * 3600, console)
        record(ledger, make_event(tracker="NOPE", hint=echoed, channel=None), "k2")
        go(ledger, 8 * 3600, console)
        deliver_now(ledger)
    assert len(jira.tickets) == len(slack.messages) == 1
    with ledger.read() as connection:
        rows = [connection.execute(sa.select(t)).all() for t in (incidents, sightings, outbox)]
    sent = [a.body.decode() + str(a.query) for a in (*jira.asked, *slack.asked)]
    everything = "\n".join(
        [repr(rows), *sent, caplog.text, console.getvalue(), *capsys.readouterr()]
    )
    for token in tokens:
        assert token not in everything
    assert "No login with ***" in everything


def test_every_due_message_is_asked_for_in_the_order_it_was_written(
    ledger_url: str, make_event: MakeEvent
) -> None:
    ledger = Ledger(ledger_url)
    for word in ("alpha", "beta", "gamma"):
        record(ledger, make_event(headline=f"{word} broke."), word)
    now, seen = datetime.now(UTC) + timedelta(seconds=1), []
    with ledger.begin() as connection:
        while (entry := next_due(connection, now)) is not None:
            claim(connection, entry, now, 300)
            seen.append(entry.id)
    assert len(seen) == 6
    assert all(a < b for a, b in pairwise(seen))
