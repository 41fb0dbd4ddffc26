"""The real Jira library and our client against a server that is as strict as Jira Cloud."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import SecretStr

from fakes.jira import TOKEN, FakeJira
from fakes.service import answering, cut_off, done_but_unanswered, no_fault
from lastmile.clients.answers import NotTakenError, UnansweredError
from lastmile.clients.jira import JiraAccount, JiraClient
from lastmile.errors import LastmileError, PermanentError, SettingsError


def document(text: str) -> dict[str, Any]:
    paragraph = {"type": "paragraph", "content": [{"type": "text", "text": text}]}
    return {"type": "doc", "version": 1, "content": [paragraph]}


DOCUMENT = document("It broke: message 123")


def open_client(url: str) -> JiraClient:
    return JiraClient(JiraAccount.parse(SecretStr(url)))


@pytest.fixture
def client(jira: FakeJira) -> JiraClient:
    return open_client(jira.connection_url)


def make(
    client: JiraClient,
    project: str = "RISK",
    summary: str = "It broke",
    label: str = "lastmile-abc",
) -> str:
    return client.create(project, ("Bug", "Task"), summary, DOCUMENT, ("lastmile", label))


def test_a_ticket_is_made_with_the_best_issue_type_the_project_has(
    jira: FakeJira, client: JiraClient
) -> None:
    assert make(client) == "RISK-1"
    assert make(client, "OPS") == "OPS-1"
    assert [t.fields["issuetype"] for t in jira.tickets] == [{"id": "10003"}, {"id": "10002"}]
    assert jira.tickets[0].fields["description"] == DOCUMENT
    assert client.address("RISK-1") == f"http://127.0.0.1:{jira.port}/browse/RISK-1"


def test_a_ticket_is_found_by_its_label_until_it_is_done(
    jira: FakeJira, client: JiraClient
) -> None:
    assert client.find("RISK", "lastmile-abc") is None
    make(client)
    make(client)
    make(client, label="lastmile-other")
    assert client.find("RISK", "lastmile-abc") == "RISK-2"
    jira.tickets[1].status = "Done"
    assert client.find("RISK", "lastmile-abc") == "RISK-1"


def test_a_ticket_is_open_until_it_is_done_or_gone_and_the_search_may_lag(
    jira: FakeJira, client: JiraClient
) -> None:
    jira.lag_seconds = 1000
    key = make(client)
    assert client.find("RISK", "lastmile-abc") is None
    assert client.is_open(key)
    jira.tickets[0].status = "Done"
    assert not client.is_open(key)
    assert not client.is_open("RISK-77")
    jira.faults.append(answering(403))
    with pytest.raises(SettingsError):
        client.is_open(key)


def test_a_label_cannot_become_part_of_the_query(client: JiraClient) -> None:
    make(client)
    assert client.find("RISK", '" OR labels != "') is None
    with pytest.raises(PermanentError, match="does not exist"):
        client.find('RISK" OR project = "OPS', "x")


def test_a_message_is_known_by_what_stands_in_description_or_comments(client: JiraClient) -> None:
    key = make(client)
    assert client.holds(key, "message 123")
    assert not client.holds(key, "message 456")
    client.comment(key, document("message 456"))
    assert client.holds(key, "message 456")


def test_a_wrong_token_is_the_accounts_fault(jira: FakeJira) -> None:
    client = open_client(jira.connection_url.replace("jira-t0ken", "other-t0ken"))
    with pytest.raises(SettingsError, match="does not let this account"):
        client.find("RISK", "x")
    with pytest.raises(SettingsError):
        make(client)


@pytest.mark.parametrize(
    ("project", "summary", "label"),
    [("NOPE", "ok", "ok"), ("RISK", "x" * 256, "ok"), ("RISK", "two\nlines", "ok"),
     ("RISK", "ok", "has blank")],
)  # fmt: skip
def test_what_jira_refuses_is_refused_for_good(
    jira: FakeJira, client: JiraClient, project: str, summary: str, label: str
) -> None:
    with pytest.raises(PermanentError, match="Jira refused") as caught:
        make(client, project, summary, label)
    assert not isinstance(caught.value, SettingsError)
    assert jira.tickets == []


def test_a_description_that_is_no_document_is_refused(client: JiraClient) -> None:
    with pytest.raises(PermanentError, match="Atlassian Document"):
        client.create("RISK", ("Bug",), "It broke", {"type": "text"}, ())
    with pytest.raises(PermanentError, match="INVALID_INPUT"):
        client.create("RISK", ("Bug",), "It broke", document(""), ())


def test_too_many_requests_say_how_long_to_wait_and_nobody_sleeps(
    jira: FakeJira, client: JiraClient
) -> None:
    client.find("RISK", "x")
    jira.faults.append(answering(429, {"errorMessages": ["Rate limit exceeded"]}, Retry_After="37"))
    with pytest.raises(NotTakenError) as caught:
        client.comment("RISK-1", DOCUMENT)
    assert caught.value.retry_after == 37


def test_an_answer_that_never_came_leaves_it_open_whether_it_was_done(
    jira: FakeJira, client: JiraClient
) -> None:
    make(client)
    jira.faults.append(done_but_unanswered)
    with pytest.raises(UnansweredError):
        make(client)
    assert len(jira.tickets) == 2
    jira.faults.append(cut_off)
    with pytest.raises(UnansweredError):
        make(client)
    jira.faults.append(answering(500, {"errorMessages": ["Internal server error"]}))
    with pytest.raises(UnansweredError):
        make(client)
    jira.faults.append(answering(200, b"<html>Log in</html>"))
    with pytest.raises(UnansweredError):
        client.find("RISK", "x")
    assert len(jira.tickets) == 2


def test_a_fault_of_tls_that_is_none_of_the_certificate_leaves_it_open(jira: FakeJira) -> None:
    client = open_client(jira.connection_url.replace("http://", "https://"))
    with pytest.raises(UnansweredError):
        client.find("RISK", "x")


def test_a_site_that_cannot_be_reached_has_surely_done_nothing() -> None:
    with pytest.raises(NotTakenError, match="cannot be reached"):
        open_client("http://bot%40example.org:tok@127.0.0.1:1").find("RISK", "x")


@pytest.fixture
def everything_logged(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.DEBUG):
        yield caplog


def test_the_token_is_in_no_error_no_log_and_no_representation(
    jira: FakeJira, client: JiraClient, everything_logged: pytest.LogCaptureFixture
) -> None:
    import base64

    account = JiraAccount.parse(SecretStr(jira.connection_url))
    sent = base64.b64encode(f"{jira.email}:{TOKEN}".encode()).decode()
    texts = [repr(account), str(account), account.model_dump_json(), repr(client)]
    for fault in (answering(401), answering(400, {"errors": {"a": "b"}}), answering(500), cut_off):
        jira.faults.extend([no_fault, fault] if fault is cut_off else [fault])
        with pytest.raises(LastmileError) as caught:
            make(client)
        texts += [str(caught.value), caught.value.hint, repr(caught.value.__cause__)]
    text = "\n".join([*texts, everything_logged.text])
    assert TOKEN not in text
    assert sent not in text


def test_the_account_is_read_from_a_url() -> None:
    url = SecretStr("https://me%40example.org:a%2Fb%3D@site.atlassian.net")
    account = JiraAccount.parse(url)
    assert (account.server, account.email) == ("https://site.atlassian.net", "me@example.org")
    assert account.token.get_secret_value() == "a/b="
    plain = JiraAccount.parse(SecretStr("https://me@example.org:tok@site.atlassian.net"))
    assert (plain.server, plain.email) == ("https://site.atlassian.net", "me@example.org")


@pytest.mark.parametrize(
    "url",
    ["https://site.atlassian.net", "https://me:@site", "no url", "http://me:s3cret@jira.example.org",
     "https://me:s3cret@[site", "https://me:s3cret@site:99999999"],
)  # fmt: skip
def test_a_url_that_is_no_account_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        JiraAccount.parse(SecretStr(url))
    assert "s3cret" not in f"{caught.value}{caught.value.hint}"
