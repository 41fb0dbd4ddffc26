"""`lastmile doctor` and `lastmile check` on the team's side: accounts, places, the team file."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fakes.jira import FakeJira
from fakes.slack import FakeSlack
from lastmile.cli.check import check_pipelines
from lastmile.cli.doctor import examine
from lastmile.pipeline.definition import Pipeline
from lastmile.settings import Settings
from lastmile.team.examine import examine_accounts, places_told
from lastmile.team.load import team_file
from lastmile.team.rules import Escalation, Owner, TeamRules
from lastmile.team.schema import team_schema
from project import Project

MakePipeline = Callable[..., Pipeline]


def test_the_places_are_those_that_pipelines_owners_and_the_escalation_name(
    make_pipeline: MakePipeline,
) -> None:
    rules = TeamRules(
        owners={"b-team": Owner(tracker="OPS", channel="ops")},
        escalation=Escalation(after="1h", channel="leads"),
    )
    pipelines = [
        make_pipeline(owner="a-team", team={"tracker": "RISK", "channel": "slack:risk-models"}),
        make_pipeline(owner="b-team"),
        make_pipeline(owner="c-team"),
    ]
    places = places_told(rules, pipelines)
    assert places["jira"] == ["OPS", "RISK"]
    assert places["slack"] == ["leads", "ops", "risk-models"]


@pytest.mark.usefixtures("accounts")
def test_each_account_is_looked_at_in_each_place_and_says_what_is_missing(
    make_pipeline: MakePipeline, jira: FakeJira, slack: FakeSlack
) -> None:
    jira.permissions.discard("ADD_COMMENTS")
    slack.scopes.discard("chat:write")
    pipeline = make_pipeline(team={"tracker": "RISK", "channel": "elsewhere"})
    found = list(examine_accounts(TeamRules(), [pipeline]))
    faults = {f.subject: f.finding for f in found if not f.is_well}
    assert faults == {
        "Jira RISK: permissions": "this account lacks ADD_COMMENTS in RISK",
        "Slack elsewhere: scopes": "the app lacks chat:write: no message can be posted",
        "Slack elsewhere: channel": "the app is not in elsewhere",
    }
    assert all(f.remedy for f in found if not f.is_well)
    assert jira.tickets == slack.messages == []


def test_a_wrong_url_and_a_refused_token_are_said_without_the_secret(
    make_pipeline: MakePipeline, monkeypatch: pytest.MonkeyPatch, jira: FakeJira
) -> None:
    url = jira.connection_url.replace("jira-t0ken", "s3cret-one")
    monkeypatch.setenv("LASTMILE_CONNECTION_JIRA", url)
    monkeypatch.setenv("LASTMILE_CONNECTION_SLACK", "http://:s3cret-two@slack.example.org/api")
    found = list(examine_accounts(TeamRules(), [make_pipeline(team={"tracker": "RISK"})]))
    assert [f.is_well for f in found if f.subject.startswith(("Jira", "Slack"))] == [False, False]
    assert "s3cret" not in str(found)


def test_the_doctor_shows_accounts_and_the_team_file(
    flower_project: Project, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = Settings(root=flower_project.root, home=settings.home)
    found = {f.subject: f for f in examine(here).findings}
    assert found["team file"].finding == "none; all is default"
    assert found["Jira"].finding == "no account: messages go to the console"
    team_file(here).write_text("reopen_within: never\n")
    found = {f.subject: f for f in examine(here).findings}
    assert not found["team file"].is_well


def test_a_silence_that_is_over_is_a_fault_of_the_check(
    flower_project: Project, settings: Settings
) -> None:
    here = Settings(root=flower_project.root, home=settings.home)
    assert check_pipelines([], here).problems == ()
    team_file(here).write_text("silences:\n  - {ticket: RISK-7, until: 2020-01-31}\n")
    (problem,) = check_pipelines([], here).problems
    assert str(problem) == f"{team_file(here)}:2:22: this silence ended on 2020-01-31"


def test_the_schema_that_editors_read_is_up_to_date() -> None:
    path = Path(__file__).parents[3] / "include" / "team.schema.json"
    assert path.read_text() == team_schema(), "make generate"
