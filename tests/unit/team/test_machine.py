"""Whatever breaks, and whenever: one ticket and one thread a cause, nothing lost, nothing twice, in order.

Hypothesis drives failures, repeats, recoveries, reports that come twice, passes of delivery, hours that go
by, and faults of both systems at any request; deliverers are killed between what they did and its record.
"""

import io
import json
import re
import tempfile
from collections.abc import Callable  # noqa: TC003
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from pydantic import SecretStr

from fakes.jira import FakeJira
from fakes.service import Fault, answering, cut_off, done_but_unanswered
from fakes.slack import FakeSlack
from lastmile.clients.jira import JiraSettings
from lastmile.clients.slack import SlackSettings
from lastmile.ledger import outbox
from lastmile.ledger.ledger import Ledger
from lastmile.ledger.outbox import read_entries
from lastmile.team.channels import Channel, ChatChannel, TrackerChannel, marker
from lastmile.team.deliver import deliver
from lastmile.team.events import Event
from lastmile.team.record import record
from lastmile.team.rules import TeamRules

CAUSES = ("The source loans has 0 rows.", "The disk is full.")

FAULTS: dict[str, Fault] = {
    "cut off": cut_off,
    "done, but unanswered": done_but_unanswered,
    "busy": answering(429, {"ok": False, "error": "ratelimited"}, Retry_After="20"),
    "broken": answering(500, {}),
    "done, then broken": lambda asked, work: (work(asked), answering(500, {})(asked, work))[1],
    "down": answering(503, {}),
}


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


class Delivery(RuleBasedStateMachine):
    """Two causes of one pipeline, told to one project and one channel."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0
        self.reports = 0
        self.folder = tempfile.TemporaryDirectory()
        self.jira, self.slack = FakeJira().__enter__(), FakeSlack().__enter__()
        self.jira.lag_seconds = 30
        self.jira.clock = lambda: self.seconds
        self.ledger = Ledger(f"sqlite:///{self.folder.name}/ledger.db")
        self.kill_at_settling = False

    def teardown(self) -> None:
        try:
            self.settle_everything()
            self.check_all()
        finally:
            self.jira.__exit__(None, None, None)
            self.slack.__exit__(None, None, None)
            self.folder.cleanup()

    # What happens

    @initialize()
    def first_failure(self) -> None:
        self.fails(CAUSES[0])

    @rule(cause=st.sampled_from(CAUSES))
    def fails(self, cause: str) -> None:
        self.reports += 1
        self.report("failure", cause, f"k{self.reports}")

    @rule(cause=st.sampled_from(CAUSES))
    def is_reported_twice(self, cause: str) -> None:
        self.report("failure", cause, f"k{self.reports}")

    @rule()
    def recovers(self) -> None:
        self.reports += 1
        self.report("dry_run", "All is well.", f"k{self.reports}")

    @rule(fault=st.sampled_from(sorted(FAULTS)), after=st.integers(0, 6), system=st.booleans())
    def something_breaks(self, fault: str, after: int, system: bool) -> None:
        """At one of the next requests."""
        service = self.jira if system else self.slack
        pass_by: list[Fault] = [lambda asked, work: work(asked)] * after
        service.faults.extend([*pass_by, FAULTS[fault]])

    @rule(seconds=st.sampled_from([1, 20, 61, 310, 4000]))
    def time_goes_by(self, seconds: int) -> None:
        self.seconds += seconds

    @rule(is_killed=st.booleans())
    def delivers(self, is_killed: bool) -> None:
        self.kill_at_settling = is_killed
        try:
            self.go()
        except Killed:
            pass
        finally:
            self.kill_at_settling = False

    # What always holds

    @invariant()
    def no_cause_has_two_tickets_or_threads(self) -> None:
        labels = [
            label
            for t in self.jira.tickets
            for label in t.fields["labels"]
            if label.startswith("lastmile-")
        ]
        assert len(labels) == len(set(labels)), labels
        titles = [
            m["metadata"]["event_payload"]["key"] for m in self.slack.messages if not m["thread_ts"]
        ]
        assert len(titles) == len(set(titles)), titles

    @invariant()
    def no_words_are_said_twice(self) -> None:
        keys = [m["metadata"]["event_payload"]["key"] for m in self.slack.messages]
        assert len(keys) == len(set(keys)), keys
        said = re.findall(
            r"message [0-9a-f]{12}", json.dumps([self.texts(t) for t in self.jira.tickets])
        )
        assert len(said) == len(set(said)), said

    # How it is done

    def report(self, kind: str, headline: str, key: str) -> None:
        event = Event.model_validate(
            {"kind": kind, "pipeline": "p", "run_id": "r", "stage": "prepare", "headline": headline,
             "owner": "o", "tracker": "RISK", "channel": "risk-models"}
        )  # fmt: skip
        record(self.ledger, event, key, TeamRules())

    def channels(self) -> dict[str, Channel]:
        return {
            "jira": TrackerChannel(
                "jira", JiraSettings().open(SecretStr(self.jira.connection_url))
            ),
            "slack": ChatChannel(
                "slack", SlackSettings().open(SecretStr(self.slack.connection_url))
            ),
        }

    def go(self) -> None:
        real: Callable[..., bool] = outbox.settle

        def settle(*arguments: Any, **parts: Any) -> bool:
            if self.kill_at_settling:
                raise Killed
            return real(*arguments, **parts)

        now = datetime.now(UTC) + timedelta(seconds=self.seconds)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(outbox, "settle", settle)
            deliver(self.ledger, self.channels(), io.StringIO(), now, report_of=lambda _: b"report")

    def settle_everything(self) -> None:
        self.jira.faults.clear()
        self.slack.faults.clear()
        for _ in range(12):
            self.seconds += 2000
            self.go()

    def texts(self, ticket: Any) -> list[Any]:
        return [ticket.fields["description"], *(c["body"] for c in ticket.comments)]

    def check_all(self) -> None:
        with self.ledger.read() as connection:
            entries = read_entries(connection, (), ("waiting", "sent", "printed", "dead"))
        assert {e.status for e in entries} == {"sent"}, [(e.status, e.error) for e in entries]
        worded = [e for e in entries if e.action != "updated"]
        causes: dict[str, list[str]] = {}
        for entry in worded:
            if entry.channel == "jira":
                causes.setdefault(entry.body["fingerprint"], []).append(marker(entry.key))
        found = {
            next(label for label in t.fields["labels"] if label.startswith("lastmile-")): t
            for t in self.jira.tickets
        }
        assert len(found) == len(causes) == len(self.jira.tickets)
        for cause, markers in causes.items():
            ticket = found[f"lastmile-{cause[:12]}"]
            text = json.dumps(self.texts(ticket), ensure_ascii=False)
            assert re.findall(r"message [0-9a-f]{12}", text) == markers, "all of it, in order"
            is_open = self.is_open(cause)
            assert (ticket.status != "Done") == is_open
            assert list(ticket.attachments) == ["report-r.html"]
        self.check_threads([e for e in worded if e.channel == "slack"])

    def check_threads(self, entries: list[Any]) -> None:
        roots: dict[str, str] = {}
        for entry in entries:
            cause = entry.body["fingerprint"]
            message = next(
                m for m in self.slack.messages if m["metadata"]["event_payload"]["key"] == entry.key
            )
            if cause in roots:
                assert message["thread_ts"] == roots[cause]
            else:
                assert message["thread_ts"] is None
                roots[cause] = message["ts"]
                shown = json.dumps(message["blocks"], ensure_ascii=False)
                if entry.body["event"]["kind"] == "failure":
                    assert ("🔴 Open" in shown) == self.is_open(cause), shown
        assert len(self.slack.messages) == len(entries)

    def is_open(self, cause: str) -> bool:
        from lastmile.ledger.incidents import find_open

        with self.ledger.read() as connection:
            return find_open(connection, cause) is not None


@pytest.mark.slow
def test_whatever_breaks_each_cause_has_one_ticket_and_one_thread() -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Delivery,
        settings=settings(
            max_examples=12, stateful_step_count=20, deadline=None,
            suppress_health_check=list(HealthCheck), phases=(Phase.explicit, Phase.reuse, Phase.generate),
        ),
    )  # fmt: skip
