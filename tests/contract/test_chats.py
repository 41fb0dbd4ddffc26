"""What holds for every chat: its real client library against a server that is as strict as it is.

A further chat is one entry in `fakes/chats.py`.
"""

import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from fakes.chats import CHATS, ChatCase
from fakes.service import answering, cut_off, done_but_unanswered
from lastmile.clients.answers import NotTakenError, UnansweredError
from lastmile.clients.chat import Chat
from lastmile.clients.kinds import CHATS as KINDS
from lastmile.clients.story import Story
from lastmile.errors import LastmileError, PermanentError, SettingsError

HOSTILE = '@channel <!here> <@U012> [x](https://evil.example) *b* `c` &lt; "}'
STORY = Story(
    title="credit_risk failed in prepare",
    state="Open",
    headline="The source loans has 0 rows.",
    impact="Version 12 still answers.",
    facts=(("Rows", "0"),),
    hint="See where it comes from.",
    links=(("Log", "https://airflow.example/log"),),
    footer="Owner risk-team",
)


@pytest.fixture(params=CHATS, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> ChatCase:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def fake(case: ChatCase) -> Iterator[Any]:
    with case.make() as service:
        yield service


@pytest.fixture
def chat(case: ChatCase, fake: Any) -> Chat:
    return case.open(fake)


def test_every_kind_has_its_case() -> None:
    assert {case.name for case in CHATS} == set(KINDS)


def test_nothing_is_asked_before_there_is_something_to_do(fake: Any, chat: Chat) -> None:
    assert chat is not None
    assert fake.asked == []


def test_a_message_says_all_that_there_is_to_say(case: ChatCase, fake: Any, chat: Chat) -> None:
    assert chat.post(case.place, STORY, "k1")
    (message,) = case.seen(fake)
    assert not message.is_reply
    for said in (
        STORY.title,
        STORY.state,
        STORY.headline,
        STORY.impact,
        STORY.hint,
        "airflow.example",
    ):
        assert said in message.text


def test_a_reply_stands_in_the_thread_of_its_message(case: ChatCase, fake: Any, chat: Chat) -> None:
    root = chat.post(case.place, STORY, "k1")
    assert chat.post(case.place, replace(STORY, headline="It recovered."), "k2", root) != root
    assert [message.is_reply for message in case.seen(fake)] == [False, chat.can_look_back]
    assert "It recovered." in case.seen(fake)[1].text


def test_a_message_can_say_something_else_later(case: ChatCase, fake: Any, chat: Chat) -> None:
    root = chat.post(case.place, STORY, "k1")
    for _ in range(2):
        chat.update(root, replace(STORY, state="Recovered"), "k1")
    (message,) = case.seen(fake)
    assert ("Recovered" in message.text) == chat.can_look_back
    if chat.can_look_back:
        assert chat.find(case.place, "k1", 0) == root


def test_a_message_is_found_again_by_its_key(case: ChatCase, fake: Any, chat: Chat) -> None:
    root = chat.post(case.place, STORY, "k1")
    reply = chat.post(case.place, STORY, "r1", root)
    for n in range(5):
        chat.post(case.place, STORY, f"later {n}")
        chat.post(case.place, STORY, f"reply {n}", root)
    found = chat.find(case.place, "k1", 0), chat.find(case.place, "r1", 0, root)
    assert found == ((root, reply) if chat.can_look_back else (None, None))
    assert chat.find(case.place, "no such key", 0) is None
    assert len(case.seen(fake)) == 12


def test_texts_of_any_length_and_sort_are_taken(case: ChatCase, fake: Any, chat: Chat) -> None:
    story = replace(
        STORY, title=HOSTILE * 40, state=HOSTILE * 40, headline=HOSTILE * 400, hint="界" * 40_000,
        facts=tuple((f"{n} {HOSTILE}", HOSTILE * 30) for n in range(100)), footer=HOSTILE * 40,
        links=tuple((f"{n} {HOSTILE}", f"https://x.example/{'y' * 50 * n}") for n in range(60)),
    )  # fmt: skip
    root = chat.post(case.place, story, "k1")
    chat.update(root, story, "k1")
    chat.post(case.place, Story(title="t", headline="h"), "k2", root)
    assert len(case.seen(fake)) == 2


def test_a_wrong_token_is_the_accounts_fault(case: ChatCase, fake: Any, chat: Chat) -> None:
    fake.token += "-other"
    with pytest.raises(SettingsError):
        chat.post(case.place, STORY, "k1")
    findings = list(chat.examine(case.place))
    assert not all(finding.is_well for finding in findings)
    assert all(finding.remedy for finding in findings if not finding.is_well)


def test_a_channel_that_is_not_there_is_refused_for_good(
    case: ChatCase, fake: Any, chat: Chat
) -> None:
    if not case.nowhere:
        return
    with pytest.raises(PermanentError):
        chat.post(case.nowhere, STORY, "k1")
    assert case.seen(fake) == []
    assert not all(finding.is_well for finding in chat.examine(case.nowhere))


def test_an_examination_of_a_good_account_finds_no_fault_and_posts_nothing(
    case: ChatCase, fake: Any, chat: Chat
) -> None:
    findings = list(chat.examine(case.place))
    assert [f for f in findings if not f.is_well] == []
    assert findings
    assert case.seen(fake) == []


def test_too_many_messages_say_how_long_to_wait_and_nobody_sleeps(
    case: ChatCase, fake: Any, chat: Chat
) -> None:
    fake.faults.append(answering(429, {"ok": False, "error": "ratelimited"}, Retry_After="30"))
    with pytest.raises(NotTakenError) as caught:
        chat.post(case.place, STORY, "k1")
    assert caught.value.retry_after == 30


@pytest.mark.parametrize(
    "fault",
    [cut_off, done_but_unanswered, answering(500, {}), answering(502, b"<html>Bad gateway")],
)
def test_an_answer_that_says_nothing_leaves_it_open_whether_it_was_done(
    case: ChatCase, fake: Any, chat: Chat, fault: Any
) -> None:
    fake.faults.append(fault)
    with pytest.raises(UnansweredError):
        chat.post(case.place, STORY, "k1")
    assert len(case.seen(fake)) == (fault is done_but_unanswered), "and no library tries by itself"


def test_the_token_is_in_no_error_no_log_and_no_representation(
    case: ChatCase, fake: Any, chat: Chat, caplog: pytest.LogCaptureFixture
) -> None:
    texts = [repr(chat), repr(vars(chat))]
    with caplog.at_level(logging.DEBUG):
        chat.post(case.place, STORY, "k1")
        for fault in (answering(401, {}), answering(500, {}), cut_off):
            fake.faults.append(fault)
            with pytest.raises(LastmileError) as caught:
                chat.post(case.place, STORY, "k2")
            texts += [str(caught.value), caught.value.hint, repr(caught.value.__cause__)]
    assert fake.token not in "\n".join([*texts, caplog.text])
