"""What is Jira's own, beyond what holds for every tracker: fields, workflows, permissions, TLS."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from pydantic import SecretStr

from fakes.jira import FakeJira, document_fault
from fakes.service import answering
from lastmile.clients.account import Finding
from lastmile.clients.answers import NotTakenError, UnansweredError
from lastmile.clients.formats.wiki import literal
from lastmile.clients.jira import JiraSettings, JiraTracker
from lastmile.clients.jira_session import JiraAccount
from lastmile.clients.story import Story
from lastmile.clients.tracker import NewTicket, Severity, TicketKind
from lastmile.errors import PermanentError, SettingsError

NEW = NewTicket(
    place="RISK", title="It broke", story=Story(title="t", headline="It broke."), marker="message 1",
    label="lastmile-abc", labels=("lastmile", "has blank"),
)  # fmt: skip


def open_tracker(fake: FakeJira, **settings: Any) -> JiraTracker:
    return JiraTracker(JiraAccount.parse(SecretStr(fake.connection_url)), JiraSettings(**settings))


@pytest.fixture
def tracker(jira: FakeJira) -> JiraTracker:
    return open_tracker(jira)


@pytest.fixture
def data_center() -> Iterator[FakeJira]:
    with FakeJira(is_cloud=False) as service:
        yield service


def test_what_broke_is_a_bug_where_the_project_has_bugs_and_a_decision_is_a_task(
    jira: FakeJira, tracker: JiraTracker
) -> None:
    assert tracker.create(NEW) == "RISK-1"
    assert tracker.create(replace(NEW, place="OPS")) == "OPS-1"
    assert tracker.create(replace(NEW, kind=TicketKind.TASK)) == "RISK-2"
    assert [t.fields["issuetype"]["id"] for t in jira.tickets] == ["10003", "10002", "10002"]
    assert tracker.address("RISK-1") == f"http://127.0.0.1:{jira.port}/browse/RISK-1"


def test_a_ticket_has_owner_priority_component_and_labels(jira: FakeJira) -> None:
    tracker = open_tracker(jira, component="models")
    tracker.create(replace(NEW, severity=Severity.CRITICAL, assignee="ada@example.org"))
    fields = jira.tickets[0].fields
    assert fields["assignee"] == {"accountId": "5b-ada"}
    assert fields["priority"] == {"id": "1"}
    assert fields["components"] == [{"id": "500"}]
    assert fields["labels"] == ["lastmile", "has-blank", "lastmile-abc"]


def test_what_the_project_does_not_have_is_left_out(jira: FakeJira) -> None:
    tracker = open_tracker(jira, component="no such")
    tracker.create(replace(NEW, place="OPS", assignee="nobody@example.org"))
    assert not {"components", "assignee"} & set(jira.tickets[0].fields)


def test_what_a_project_is_like_is_asked_once(jira: FakeJira, tracker: JiraTracker) -> None:
    tracker.create(replace(NEW, assignee="ada@example.org"))
    asked = len(jira.asked)
    tracker.create(replace(NEW, assignee="ada@example.org"))
    assert len(jira.asked) == asked + 1


def test_data_center_gets_its_own_format_search_and_accounts(data_center: FakeJira) -> None:
    tracker = open_tracker(data_center)
    made = tracker.create(replace(NEW, assignee="bob@example.org"))
    ticket = data_center.tickets[0]
    assert ticket.fields["assignee"] == {"name": "5b-bob"}
    assert ticket.fields["description"] == "*It broke.*\n\nlastmile-abc · message 1"
    found = tracker.find("RISK", "lastmile-abc")
    assert found is not None
    assert found.id == made
    assert {a.path.split("/")[3] for a in data_center.asked} == {"2"}


@pytest.mark.parametrize(
    "text",
    ["h1. Title", "bq. quote", "[x|https://evil.example]", "!img.png!", "{panel}x{panel}", "[~admin]",
     "* list", "# list", "https://evil.example", "@ada"],
)  # fmt: skip
def test_no_markup_of_data_center_comes_out_of_what_people_wrote(text: str) -> None:
    shown = literal(text)
    assert shown != text
    assert shown.replace("\\", "") == text


def test_a_field_that_the_project_requires_comes_from_the_team_file(jira: FakeJira) -> None:
    jira.required["RISK"] = ["ML", "Web"]
    with pytest.raises(SettingsError, match="Jira requires Team of a new ticket in RISK"):
        open_tracker(jira).create(NEW)
    with pytest.raises(SettingsError, match="no option 'Sales'") as caught:
        open_tracker(jira, fields={"Team": "Sales"}).create(NEW)
    assert "ML, Web" in caught.value.hint
    open_tracker(jira, fields={"Team": "Web"}).create(NEW)
    assert jira.tickets[0].fields["customfield_10050"] == {"id": "71"}


def test_a_workflow_is_walked_to_its_end_with_the_resolution_that_it_asks_for(
    jira: FakeJira, tracker: JiraTracker
) -> None:
    made = tracker.create(NEW)
    tracker.close(made)
    tracker.reopen(made)
    assert jira.tickets[0].history == ["In Progress", "Done", "To Do"]


def test_a_workflow_that_does_not_lead_there_says_so(jira: FakeJira, tracker: JiraTracker) -> None:
    made = tracker.create(NEW)
    jira.permissions.discard("TRANSITION_ISSUES")
    with pytest.raises(PermanentError, match="No transition leads RISK-1 to Done"):
        tracker.close(made)


def test_the_doctor_names_each_permission_that_is_missing(jira: FakeJira) -> None:
    jira.permissions -= {"ADD_COMMENTS", "CREATE_ATTACHMENTS"}
    jira.required["RISK"] = ["ML"]
    found = {f.subject: f for f in open_tracker(jira, component="nope").examine("RISK")}
    assert found["credentials"] == Finding("credentials", True, "Lastmile Bot on Cloud")
    assert (
        found["permissions"].finding
        == "this account lacks ADD_COMMENTS, CREATE_ATTACHMENTS in RISK"
    )
    assert found["fields of Bug"].finding == "Jira requires Team of a new ticket in RISK."
    assert found["component of Task"].finding == "RISK has no component 'nope'"
    assert jira.tickets == []


def test_a_permission_that_is_missing_is_the_accounts_fault(
    jira: FakeJira, tracker: JiraTracker
) -> None:
    made = tracker.create(NEW)
    jira.permissions.clear()
    for act in (lambda: tracker.create(NEW), lambda: tracker.retitle(made, "x")):
        with pytest.raises(SettingsError, match="does not let this account"):
            act()


def test_a_project_cannot_become_part_of_the_query(tracker: JiraTracker) -> None:
    with pytest.raises(PermanentError, match="does not exist"):
        tracker.find('RISK" OR project = "OPS', "x")


def test_a_pause_of_the_whole_site_is_honoured(jira: FakeJira, tracker: JiraTracker) -> None:
    made = tracker.create(NEW)
    jira.faults.append(answering(503, None, Retry_After="60"))
    with pytest.raises(NotTakenError) as caught:
        tracker.retitle(made, "x")
    assert caught.value.retry_after == 60


def test_a_fault_of_tls_that_is_none_of_the_certificate_leaves_it_open(jira: FakeJira) -> None:
    url = SecretStr(jira.connection_url.replace("http://", "https://"))
    with pytest.raises(UnansweredError):
        JiraTracker(JiraAccount.parse(url)).find("RISK", "x")


def test_a_site_that_cannot_be_reached_has_surely_done_nothing() -> None:
    account = JiraAccount.parse(SecretStr("http://bot%40example.org:tok@127.0.0.1:1"))
    with pytest.raises(NotTakenError, match="cannot be reached"):
        JiraTracker(account).find("RISK", "x")


def test_the_account_is_read_from_a_url() -> None:
    url = SecretStr("https://me%40example.org:a%2Fb%3D@site.atlassian.net")
    account = JiraAccount.parse(url)
    assert (account.server, account.email) == ("https://site.atlassian.net", "me@example.org")
    assert account.token.get_secret_value() == "a/b="
    assert "a/b" not in f"{account!r}{account.model_dump_json()}"
    plain = JiraAccount.parse(SecretStr("https://me@example.org:tok@site.atlassian.net"))
    assert (plain.server, plain.email) == ("https://site.atlassian.net", "me@example.org")
    assert JiraAccount.parse(SecretStr("https://:pat@jira.example.org")).email == ""


@pytest.mark.parametrize(
    "url",
    ["https://site.atlassian.net", "https://me:@site", "no url", "http://me:s3cret@jira.example.org",
     "https://me:s3cret@[site", "https://me:s3cret@site:99999999"],
)  # fmt: skip
def test_a_url_that_is_no_account_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        JiraAccount.parse(SecretStr(url))
    assert "s3cret" not in f"{caught.value}{caught.value.hint}"


def test_the_fake_refuses_a_document_that_the_real_one_refuses() -> None:
    assert document_fault({"type": "text"})
    assert document_fault(
        {
            "type": "doc",
            "version": 1,
            "content": [{"type": "paragraph", "content": [{"type": "text", "text": ""}]}],
        }
    )
    assert "too long" in str(
        document_fault({"type": "doc", "version": 1, "content": [json.dumps("x" * 33_000)]})
    )
