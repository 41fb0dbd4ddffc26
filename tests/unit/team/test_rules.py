"""The team file: every fault at its place, and what its rules come to."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from lastmile.clients.tracker import Severity
from lastmile.pipeline.load import InvalidPipelineError
from lastmile.settings import Settings
from lastmile.team.events import Event
from lastmile.team.load import check_rules, load_rules, rules_or_default, team_file
from lastmile.team.rules import Escalation, QuietHours, TeamRules

MakeEvent = Callable[..., Event]

FILE = """\
owners:
  risk-team:
    accounts: {jira: ada@example.org, slack: U0ADA}
    tracker: RISK
    channel: risk-models
trackers:
  jira: {project: ML, component: models, fields: {Team: ML}}
chats:
  slack: {channel: ml-alerts}
severity:
  - {stage: deploy, severity: critical}
  - {error: Data*, severity: high}
quiet_hours: {begin: '22:00', end: '06:00', zone: Europe/Berlin}
escalation: {after: 2h, severity: high, channel: ml-leads}
silences:
  - {pipeline: credit_*, stage: train, ticket: RISK-7, until: 2026-12-31}
reopen_within: 7d
"""


@pytest.fixture
def write(settings: Settings) -> Callable[[str], Settings]:
    def put(text: str) -> Settings:
        path = team_file(settings)
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return settings

    return put


def test_without_a_file_all_is_as_by_default(settings: Settings) -> None:
    assert load_rules(settings) == TeamRules()
    assert check_rules(settings) == []


def test_the_file_that_comes_with_lastmile_is_the_default_and_has_no_fault() -> None:
    settings = Settings(root=Path(__file__).parents[3])
    assert load_rules(settings) == TeamRules()
    assert check_rules(settings) == []


def test_a_file_is_read_into_typed_rules(write: Callable[[str], Settings]) -> None:
    rules = load_rules(write(FILE))
    assert rules.escalation == Escalation(after="2h", channel="ml-leads")
    assert rules.reopen_within == timedelta(days=7)
    assert rules.trackers.jira.fields == {"Team": "ML"}
    assert rules.account_of("risk-team", "slack") == "U0ADA"
    assert rules.account_of("nobody", "slack") == ""


@pytest.mark.parametrize(
    ("old", "new", "said", "hint"),
    [
        ("reopen_within: 7d", "reopen_within: 7", "17:1: reopen_within: expected", "30m, 2h or 14d"),
        ("severity: high, channel", "severity: hi, channel", "14:25: escalation.severity is 'hi'", ""),
        ("reopen_within", "reopen_withn", "17:1: reopen_withn: no such key", "Did you mean 'reopen_within'?"),
        ("component: models", "componnt: models", "7:", "Did you mean 'component'?"),
        ("Europe/Berlin", "Berlin", "13:45: quiet_hours.zone: there is no time zone 'Berlin'", ""),
        ("'22:00'", "'25:00'", "13:15: quiet_hours.begin: expected a time of day", ""),
        ("ticket: RISK-7, ", "", "16:5: silences.0.ticket is missing", "Add `ticket:` here."),
        ("until: 2026-12-31", "until: soon", "16:56: silences.0.until: expected a day", ""),
        ("channel: ml-leads", "channel: 'irc:x'", "14:41: escalation.channel: expected a place", ""),
        ("reopen_within: 7d", "reopen_within: 7d\nowners: {}", "18:1: 'owners' stands here twice", ""),
    ],
)  # fmt: skip
def test_every_fault_stands_at_its_line_and_column(
    write: Callable[[str], Settings], old: str, new: str, said: str, hint: str
) -> None:
    settings = write(FILE.replace(old, new))
    (problem,) = check_rules(settings)
    text = f"{problem} {problem.hint}"
    assert text.startswith(f"{team_file(settings)}:")
    assert said in text
    assert hint in text
    with pytest.raises(InvalidPipelineError):
        load_rules(settings)


def test_a_silence_that_is_over_and_an_account_of_nothing_are_faults_of_the_check_alone(
    write: Callable[[str], Settings],
) -> None:
    settings = write(FILE.replace("slack: U0ADA", "irc: ada"))
    load_rules(settings)
    account, silence = sorted(check_rules(settings, date(2027, 1, 1)), key=lambda p: p.line)
    assert (account.line, account.message) == (3, "there is no tracker or chat 'irc'")
    assert (silence.line, silence.message) == (16, "this silence ended on 2026-12-31")
    assert "RISK-7" in silence.hint
    assert len(check_rules(settings, date(2026, 12, 31))) == 1


def test_a_file_with_faults_leaves_nothing_untold(
    write: Callable[[str], Settings], caplog: pytest.LogCaptureFixture
) -> None:
    assert rules_or_default(write("owners: [")) == TeamRules()
    assert "as if there were no such file" in caplog.text


def test_a_changed_file_is_read_anew(write: Callable[[str], Settings]) -> None:
    assert load_rules(write(FILE)).reopen_within == timedelta(days=7)
    assert load_rules(write(FILE + "# more\n")).reopen_within == timedelta(days=7)
    assert load_rules(write("reopen_within: 3d\n")).reopen_within == timedelta(days=3)


def test_the_pipeline_goes_before_its_owner_and_the_owner_before_all(
    write: Callable[[str], Settings], make_event: MakeEvent
) -> None:
    rules = load_rules(write(FILE))

    def places(**parts: Any) -> tuple[str | None, str | None]:
        event = rules.routed(make_event(**parts))
        return event.tracker, event.channel

    assert places(tracker="OPS", channel="slack:ops") == ("OPS", "slack:ops")
    assert places(tracker=None, channel=None) == ("RISK", "risk-models")
    assert places(tracker=None, channel=None, owner="x") == ("jira:ML", "slack:ml-alerts")
    assert TeamRules().routed(make_event(tracker=None)).tracker is None


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ({"stage": "deploy"}, Severity.CRITICAL),
        ({"stage": "deploy", "error_class": "DataError"}, Severity.CRITICAL),
        ({"error_class": "DataError"}, Severity.HIGH),
        ({"error_class": "GangError"}, Severity.MEDIUM),
        ({"kind": "release", "error_class": ""}, Severity.LOW),
    ],
)
def test_the_first_rule_that_fits_says_how_much_it_matters(
    write: Callable[[str], Settings],
    make_event: MakeEvent,
    parts: dict[str, Any],
    expected: Severity,
) -> None:
    assert load_rules(write(FILE)).routed(make_event(**parts)).severity is expected


@pytest.mark.parametrize(
    ("now", "end"),
    [
        ("2026-03-01T21:30", "2026-03-02T05:00"),  # 22:30 in Berlin
        ("2026-03-01T02:00", "2026-03-01T05:00"),
        ("2026-03-01T05:00", None),
        ("2026-03-01T20:59", None),
        ("2026-07-01T20:30", "2026-07-02T04:00"),  # summer time
    ],
)
def test_quiet_hours_end_in_the_morning_of_their_zone(now: str, end: str | None) -> None:
    quiet = QuietHours(begin="22:00", end="06:00", zone="Europe/Berlin")
    expected = datetime.fromisoformat(end).replace(tzinfo=UTC) if end else None
    assert quiet.end_of(datetime.fromisoformat(now).replace(tzinfo=UTC)) == expected


def test_quiet_hours_within_a_day(make_event: MakeEvent) -> None:
    rules = TeamRules(quiet_hours=QuietHours(begin="12:00", end="13:00"))
    noon = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
    assert rules.may_ring_at(Severity.LOW, noon) == datetime(2026, 3, 1, 13, tzinfo=UTC)
    assert rules.may_ring_at(Severity.CRITICAL, noon) == noon
    assert rules.may_ring_at(Severity.LOW, noon + timedelta(hours=1)) == noon + timedelta(hours=1)


def test_a_silence_covers_what_fits_until_its_last_day_is_over(
    write: Callable[[str], Settings], make_event: MakeEvent
) -> None:
    rules, event = load_rules(write(FILE)), make_event(stage="train")
    last_day = datetime(2026, 12, 31, 23, 59, tzinfo=UTC)
    assert rules.silence_of(event, last_day) is not None
    assert rules.silence_of(event, last_day + timedelta(minutes=1)) is None
    assert rules.silence_of(make_event(stage="prepare"), last_day) is None
