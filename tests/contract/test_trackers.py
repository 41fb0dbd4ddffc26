"""What holds for every tracker: its real client library against a server that is as strict as it is.

A further tracker is one entry in `fakes/trackers.py`.
"""

import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from fakes.service import answering, cut_off, done_but_unanswered
from fakes.trackers import TRACKERS, Shown, TrackerCase
from lastmile.clients.answers import NotTakenError, UnansweredError
from lastmile.clients.kinds import TRACKERS as KINDS
from lastmile.clients.story import Story
from lastmile.clients.tracker import NewTicket, Severity, TicketKind, Tracker
from lastmile.errors import LastmileError, PermanentError, SettingsError

HOSTILE = '@channel <!here> [x](https://evil.example) *b* `c` {panel} "} OR project = OPS --'

STORY = Story(
    title="credit_risk failed in prepare",
    headline="The source loans has 0 rows.",
    impact="Version 12 still answers.",
    facts=(("Rows", "0"),),
    hint="See where it comes from.",
    links=(("Log", "https://airflow.example/log"),),
    footer="Owner risk-team",
)


@pytest.fixture(params=TRACKERS, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> TrackerCase:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def fake(case: TrackerCase) -> Iterator[Any]:
    with case.make() as service:
        yield service


@pytest.fixture
def tracker(case: TrackerCase, fake: Any) -> Tracker:
    return case.open(fake)


def new(case: TrackerCase, **parts: Any) -> NewTicket:
    ticket = NewTicket(
        place=case.place, title="credit_risk failed", story=STORY, marker="message 123",
        label="lastmile-abc", labels=("lastmile", "credit_risk"),
    )  # fmt: skip
    return replace(ticket, **parts)


def only(case: TrackerCase, fake: Any) -> Shown:
    (ticket,) = case.shown(fake)
    return ticket


def test_every_kind_has_its_case() -> None:
    assert {case.name.split("-")[0] for case in TRACKERS} == set(KINDS)


def test_nothing_is_asked_before_there_is_something_to_do(fake: Any, tracker: Tracker) -> None:
    assert tracker is not None
    assert fake.asked == []


def test_a_ticket_says_all_that_there_is_to_say(
    case: TrackerCase, fake: Any, tracker: Tracker
) -> None:
    made = tracker.create(new(case))
    ticket = only(case, fake)
    assert (ticket.id, ticket.title, ticket.is_open) == (made, "credit_risk failed", True)
    assert {"lastmile", "credit_risk", "lastmile-abc"} <= set(ticket.labels)
    for said in (
        STORY.headline,
        STORY.impact,
        STORY.hint,
        "Rows",
        "airflow.example",
        "message 123",
    ):
        assert said.split()[0] in ticket.text
    assert tracker.address(made).startswith("http")


@pytest.mark.parametrize("kind", TicketKind)
@pytest.mark.parametrize("severity", Severity)
def test_a_ticket_of_every_kind_and_severity_is_taken(
    case: TrackerCase, fake: Any, tracker: Tracker, kind: TicketKind, severity: Severity
) -> None:
    tracker.create(new(case, kind=kind, severity=severity))
    assert only(case, fake).is_open


def test_a_person_whom_the_system_does_not_know_is_left_out(
    case: TrackerCase, fake: Any, tracker: Tracker
) -> None:
    tracker.create(new(case, assignee="nobody@example.org"))
    assert not only(case, fake).assignee


def test_a_ticket_is_found_by_its_label_the_open_one_before_the_done_one(
    case: TrackerCase, fake: Any, tracker: Tracker
) -> None:
    assert tracker.find(case.place, "lastmile-abc") is None
    first, second = tracker.create(new(case)), tracker.create(new(case))
    tracker.create(new(case, label="lastmile-other"))
    found = tracker.find(case.place, "lastmile-abc")
    assert found is not None
    assert (found.id, found.is_open, found.title) == (second, True, "credit_risk failed")
    case.finish(fake, second)
    assert tracker.find(case.place, "lastmile-abc") == replace(found, id=first)
    case.finish(fake, first)
    found = tracker.find(case.place, "lastmile-abc")
    assert found is not None
    assert (found.id, found.is_open) == (second, False)


def test_reading_a_ticket_does_not_lag_as_the_search_does(
    case: TrackerCase, fake: Any, tracker: Tracker
) -> None:
    fake.lag_seconds = 1000
    made = tracker.create(new(case))
    assert tracker.find(case.place, "lastmile-abc") is None
    ticket = tracker.read(made)
    assert ticket is not None
    assert (ticket.id, ticket.is_open, ticket.title) == (made, True, "credit_risk failed")


def test_a_message_is_known_by_its_marker_in_text_or_comments(
    case: TrackerCase, fake: Any, tracker: Tracker
) -> None:
    made = tracker.create(new(case))
    assert tracker.holds(made, "message 123")
    assert not tracker.holds(made, "message 456")
    for n in range(12):
        tracker.comment(made, STORY, f"message c{n}")
    assert all(tracker.holds(made, f"message c{n}") for n in (0, 11))
    assert "Rows" in only(case, fake).comments[0]
    assert len(only(case, fake).comments) == 12


def test_a_ticket_is_closed_and_reopened_and_a_second_time_changes_nothing(
    case: TrackerCase, fake: Any, tracker: Tracker
) -> None:
    made = tracker.create(new(case))
    for _ in range(2):
        tracker.close(made)
        assert not only(case, fake).is_open
        ticket = tracker.read(made)
        assert ticket is not None
        assert not ticket.is_open
    for _ in range(2):
        tracker.reopen(made)
        assert only(case, fake).is_open


def test_a_title_changes_and_the_rest_stays(case: TrackerCase, fake: Any, tracker: Tracker) -> None:
    made = tracker.create(new(case))
    before = only(case, fake)
    tracker.retitle(made, "credit_risk failed (3 times)")
    assert only(case, fake) == replace(before, title="credit_risk failed (3 times)")


def test_a_file_is_attached_once(case: TrackerCase, fake: Any, tracker: Tracker) -> None:
    made = tracker.create(new(case))
    for _ in range(2):
        tracker.attach(made, "report.html", b"<h1>Report</h1>")
    assert only(case, fake).attachments == (("report.html",) if case.takes_files else ())


def test_texts_of_any_length_and_sort_are_taken(
    case: TrackerCase, fake: Any, tracker: Tracker
) -> None:
    story = replace(
        STORY, title=HOSTILE * 40, headline=HOSTILE * 400, hint="界" * 40_000, impact="\\\"\n" * 9000,
        facts=tuple((f"{n} {HOSTILE}", HOSTILE * 30) for n in range(100)),
    )  # fmt: skip
    made = tracker.create(new(case, title=f"two\nlines {HOSTILE}" * 30, story=story))
    tracker.comment(made, story, "message 456")
    tracker.retitle(made, "x\ny " * 300)
    assert tracker.holds(made, "message 123")
    assert tracker.holds(made, "message 456")
    assert "\n" not in only(case, fake).title


def test_a_label_cannot_become_part_of_the_query(case: TrackerCase, tracker: Tracker) -> None:
    tracker.create(new(case))
    assert tracker.find(case.place, '" OR labels != "') is None


def test_a_wrong_token_is_the_accounts_fault(
    case: TrackerCase, fake: Any, tracker: Tracker
) -> None:
    fake.token += "-other"
    with pytest.raises(SettingsError):
        tracker.find(case.place, "x")
    with pytest.raises(SettingsError):
        tracker.create(new(case))
    findings = list(tracker.examine(case.place))
    assert not all(finding.is_well for finding in findings)
    assert all(finding.remedy for finding in findings if not finding.is_well)


def test_a_place_that_is_not_there_is_refused_for_good(
    case: TrackerCase, fake: Any, tracker: Tracker
) -> None:
    with pytest.raises(PermanentError):
        tracker.create(new(case, place=case.nowhere))
    assert case.shown(fake) == []
    assert not all(finding.is_well for finding in tracker.examine(case.nowhere))


def test_an_examination_of_a_good_account_finds_no_fault_and_changes_nothing(
    case: TrackerCase, fake: Any, tracker: Tracker
) -> None:
    findings = list(tracker.examine(case.place))
    assert [f for f in findings if not f.is_well] == []
    assert findings
    assert {asked.method for asked in fake.asked} <= {"GET"}


def test_too_many_requests_say_how_long_to_wait_and_nobody_sleeps(
    case: TrackerCase, fake: Any, tracker: Tracker
) -> None:
    made = tracker.create(new(case))
    status, body = case.answer_of_limit
    fake.faults.append(answering(status, body, Retry_After="37"))
    with pytest.raises(NotTakenError) as caught:
        tracker.comment(made, STORY, "message 456")
    assert caught.value.retry_after == 37


def test_an_answer_that_never_came_leaves_it_open_whether_it_was_done(
    case: TrackerCase, fake: Any, tracker: Tracker
) -> None:
    tracker.create(new(case))
    for fault in (
        done_but_unanswered,
        cut_off,
        answering(500, {}),
        answering(200, b"<html>Log in"),
    ):
        fake.trap(*case.create, fault)
        with pytest.raises(UnansweredError):
            tracker.create(new(case))
    assert len(case.shown(fake)) == 2, "and no library tries by itself"


def test_the_token_is_in_no_error_no_log_and_no_representation(
    case: TrackerCase, fake: Any, tracker: Tracker, caplog: pytest.LogCaptureFixture
) -> None:
    texts = [repr(tracker), repr(vars(tracker))]
    with caplog.at_level(logging.DEBUG):
        tracker.create(new(case))
        for fault in (answering(401, {}), answering(400, {}), answering(500, {}), cut_off):
            fake.trap(*case.create, fault)
            with pytest.raises(LastmileError) as caught:
                tracker.create(new(case))
            texts += [str(caught.value), caught.value.hint, repr(caught.value.__cause__)]
    assert fake.token not in "\n".join([*texts, caplog.text])
