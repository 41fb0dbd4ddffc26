"""What people wrote stays text in every channel, and no message is refused for its size."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from fakes.jira import FakeJira, document_fault
from fakes.slack import FakeSlack, blocks_fault
from lastmile.clients.formats.adf import adf_document
from lastmile.clients.formats.blocks import SlackMessage
from lastmile.clients.formats.blocks import slack_message as blocks_of
from lastmile.clients.jira import JiraSettings
from lastmile.clients.slack import SlackSettings
from lastmile.team.channels import ChatChannel, TrackerChannel, marker
from lastmile.team.events import Action, Event, Message, fingerprint
from lastmile.team.record import presentable
from lastmile.team.render.console import console_text
from lastmile.team.render.story import story, ticket_title
from sendings import make_sending, make_thread

MakeEvent = Callable[..., Event]

HOSTILE = (
    "<!channel> <!here> @channel <@U012AB3CD> <https://evil.example|click> &lt;!everyone&gt; *bold* `x` "
    '[~accountid:5b10] [click|https://evil.example] {panel} !img.png! h1. "} OR project = "OPS" -- :fire:'
)


def make_message(event: Event, action: Action = Action.OPENED) -> Message:
    event = presentable(event)
    return Message(
        action=action, event=event, fingerprint=fingerprint(event), occurrences=3,
        opened_at=datetime(2026, 3, 1, 2, tzinfo=UTC), cause=event.headline,
    )  # fmt: skip


def slack_message(message: Message) -> SlackMessage:
    return blocks_of(story(message))


def document(message: Message, with_title: bool = False) -> dict[str, Any]:
    ending = f"{message.label} · {marker('k')}"
    return adf_document(story(message), ending, with_title)


def nodes(value: Any) -> Iterator[dict[str, Any]]:
    """Every object in a document."""
    if isinstance(value, dict):
        yield value
    children = (
        value.values()
        if isinstance(value, dict)
        else value
        if isinstance(value, list | tuple)
        else ()
    )
    for child in children:
        yield from nodes(child)


def everywhere(make_event: MakeEvent, text: str, **parts: Any) -> Event:
    """Make an event that holds a text wherever a column value, a file name or a person can put one."""
    values: dict[str, Any] = {
        "headline": text, "hint": text, "impact": text, "run_id": text, "owner": text, "stage": text,
        "facts": {text: text, f"{text} ": ""}, "links": {text: text, "": "https://airflow.example/run"},
    }  # fmt: skip
    return make_event(**values | parts)


@pytest.mark.parametrize("action", [a for a in Action if a is not Action.UPDATED])
def test_what_people_wrote_mentions_nobody_and_leads_nowhere(
    make_event: MakeEvent, jira: FakeJira, slack: FakeSlack, action: Action
) -> None:
    message = make_message(everywhere(make_event, HOSTILE), action)
    root = make_message(make_event())
    jira_channel = TrackerChannel("jira", JiraSettings().open(SecretStr(jira.connection_url)))
    slack_channel = ChatChannel("slack", SlackSettings().open(SecretStr(slack.connection_url)))
    for name, channel, place in (
        ("jira", jira_channel, "RISK"),
        ("slack", slack_channel, "risk-models"),
    ):
        first = channel.send(make_sending(root))
        thread = make_thread(name, first, place)
        channel.send(make_sending(message, "k2", opening=root, thread=thread))
    posted, ticket = slack.messages[1], jira.tickets[0]
    for special in ("<!", "<@", "<#", "<h"):
        assert special not in posted["text"], "the fallback is the one text that Slack parses"
    links = [n["url"] for n in nodes(posted["blocks"]) if n.get("type") == "link"]
    assert links == ["https://airflow.example/run"]
    assert {n["type"] for n in nodes(posted["blocks"]) if "type" in n} <= {
        "header", "context", "plain_text", "rich_text", "rich_text_section", "rich_text_list", "text", "link",
    }, "nothing of type mrkdwn, user, usergroup, broadcast or emoji"  # fmt: skip
    comment = ticket.comments[0]["body"]
    hrefs = [m["attrs"]["href"] for n in nodes(comment) for m in n.get("marks", []) if "attrs" in m]
    assert hrefs == ["https://airflow.example/run"]
    assert not {n.get("type") for n in nodes(comment)} & {"mention", "emoji", "inlineCard", "media"}
    assert HOSTILE in json.dumps(comment, ensure_ascii=False).replace('\\"', '"'), (
        "and all is readable"
    )


@pytest.mark.parametrize(
    "url",
    ["javascript:alert(1)", "file:///etc/passwd", "//evil.example", "https://", "https://a b/",
     "https://evil.example|Report", 'https://x/"onclick="', "https://аpple.com/", "http://[x", ""],
)  # fmt: skip
def test_only_an_address_of_the_web_becomes_a_link(make_event: MakeEvent, url: str) -> None:
    told = story(make_message(make_event(links={"Log": url})))
    assert told.links == ()
    assert told.facts == (("Log", url),)


@pytest.mark.parametrize("text", ["x" * 5000, "界" * 5000, "😀" * 5000, '\\"' * 5000, "&<>" * 5000])
@pytest.mark.parametrize("action", list(Action))
def test_a_message_of_any_size_fits_and_still_says_what_happened(
    make_event: MakeEvent, text: str, action: Action
) -> None:
    event = everywhere(
        make_event,
        f"It broke. {text}",
        facts={f"{n} {text}": text for n in range(100)},
        links={f"{n} {text}": f"https://airflow.example/{'y' * (20 * n)}" for n in range(100)},
    )
    message = make_message(event, action)
    content = slack_message(message)
    assert blocks_fault(list(content.blocks)) is None
    assert len(json.dumps(content.blocks)) < 13_200
    assert "It broke." in json.dumps(content.blocks)
    for found in (document(message), document(message, with_title=True)):
        assert document_fault(found) is None
        assert "It broke." in json.dumps(found)
        assert "lastmile-" in json.dumps(found), "the ending, by which it is found, is never cut"


def test_what_was_left_out_is_counted(make_event: MakeEvent) -> None:
    message = make_message(make_event(facts={f"fact {n}": "v" for n in range(30)}))
    assert "10 more facts" in json.dumps(slack_message(message).blocks)
    assert "more facts" not in json.dumps(document(message))


def test_a_message_without_a_word_still_has_a_title(make_event: MakeEvent) -> None:
    message = make_message(
        make_event(headline="", hint="", owner="", links={" ": "https://x.example"})
    )
    assert blocks_fault(list(slack_message(message).blocks)) is None
    assert document_fault(document(message)) is None
    assert "credit_risk failed in prepare" in console_text(message, "x")


words = st.text(max_size=400)


@settings(max_examples=60, deadline=None)
@given(
    text=words, facts=st.dictionaries(words, words, max_size=5),
    links=st.dictionaries(words, words, max_size=3), action=st.sampled_from(Action),
)  # fmt: skip
def test_any_text_makes_documents_that_are_taken(
    text: str, facts: dict[str, str], links: dict[str, str], action: Action
) -> None:
    event = Event(
        kind="failure", pipeline="p", run_id=text, stage=text, headline=text, hint=text, owner=text,
        facts=facts, links=links,
    )  # fmt: skip
    message = make_message(event, action)
    content, title = slack_message(message), ticket_title(message)
    assert blocks_fault(list(content.blocks)) is None
    assert "<" not in content.text
    assert document_fault(document(message)) is None
    assert document_fault(document(message, with_title=True)) is None
    assert len(title.splitlines()) == 1
    assert not any(c in console_text(message, "x") for c in "\x00\x07\x1b\x9b\u202e")
