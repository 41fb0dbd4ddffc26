"""What is Slack's own, beyond what holds for every chat: scopes, channels, errors in an answer of 200."""

from dataclasses import replace
from typing import Any

import pytest
from pydantic import SecretStr

from fakes.service import answering
from fakes.slack import FakeSlack
from lastmile.clients.answers import NotTakenError, UnansweredError
from lastmile.clients.slack import SlackAccount, SlackChat
from lastmile.clients.story import Story
from lastmile.errors import PermanentError, SettingsError

STORY = Story(title="It broke", headline="All of it.")


def open_chat(url: str) -> SlackChat:
    return SlackChat(SlackAccount.parse(SecretStr(url)))


@pytest.fixture
def chat(slack: FakeSlack) -> SlackChat:
    return open_chat(slack.connection_url)


def test_a_bot_that_may_not_read_says_which_scope_it_lacks(
    slack: FakeSlack, chat: SlackChat
) -> None:
    slack.scopes -= {"channels:history"}
    with pytest.raises(SettingsError, match="missing_scope: it needs channels:history"):
        chat.find("C0RISK", "k1", 0)


def test_a_private_channel_needs_a_scope_of_its_own_to_be_looked_up(
    slack: FakeSlack, chat: SlackChat
) -> None:
    slack.private.add("C0RISK")
    root = chat.post("risk-models", STORY, "k1")
    with pytest.raises(SettingsError, match="missing_scope: it needs groups:read"):
        chat.find("risk-models", "k1", 0)
    slack.scopes.add("groups:read")
    assert chat.find("risk-models", "k1", 0) == root


@pytest.mark.parametrize("channel", ["nowhere", "elsewhere", "old"])
def test_a_channel_that_cannot_be_written_to_is_refused_for_good(
    chat: SlackChat, channel: str
) -> None:
    with pytest.raises(
        PermanentError, match=r"channel_not_found|not_in_channel|is_archived"
    ) as caught:
        chat.post(channel, STORY, "k1")
    assert not isinstance(caught.value, SettingsError)


def test_a_message_that_a_person_deleted_is_left_alone(slack: FakeSlack, chat: SlackChat) -> None:
    root = chat.post("risk-models", STORY, "k1")
    slack.messages.clear()
    chat.update(root, STORY, "k1")
    assert slack.messages == []
    chat.post("risk-models", STORY, "k2", root, aloud=True)
    assert [m["thread_ts"] for m in slack.messages] == [None]


def test_a_reply_may_be_shown_to_the_channel_and_people_may_be_called(
    slack: FakeSlack, chat: SlackChat
) -> None:
    root = chat.post("risk-models", STORY, "k1")
    chat.post("risk-models", replace(STORY, calls=("U0ADA",)), "k2", root, aloud=True)
    assert [m["aloud"] for m in slack.messages] == [False, True]
    opening = slack.messages[1]["blocks"][1]["elements"][0]["elements"]
    assert opening[0] == {"type": "user", "user_id": "U0ADA"}


def test_the_doctor_names_the_scope_and_the_channel(slack: FakeSlack, chat: SlackChat) -> None:
    slack.scopes -= {"channels:history"}
    assert [(f.subject, f.is_well, f.finding) for f in chat.examine("elsewhere")] == [
        ("credentials", True, "bot in Acme"),
        ("scopes", False, "the app lacks channels:history: a message whose answer never came may come twice"),
        ("channel", False, "the app is not in elsewhere"),
    ]  # fmt: skip
    assert [f.finding for f in chat.examine("old")][-1] == "old is archived"
    slack.scopes |= {"channels:history", "groups:read"}
    assert [f.is_well for f in chat.examine("no-such")] == [True, True, False]


@pytest.mark.parametrize(
    "fault",
    [answering(500, {"ok": False, "error": "internal_error"}), answering(200, b"<html>proxy</html>"),
     answering(200, {"ok": False, "error": "fatal_error"})],
)  # fmt: skip
def test_an_answer_that_says_nothing_leaves_it_open_whether_it_was_done(
    slack: FakeSlack, chat: SlackChat, fault: Any
) -> None:
    slack.faults.append(fault)
    with pytest.raises(UnansweredError):
        chat.post("risk-models", STORY, "k1")


def test_slack_that_cannot_be_reached_has_surely_done_nothing() -> None:
    with pytest.raises(NotTakenError, match="cannot be reached"):
        open_chat("http://:tok@127.0.0.1:1/api").post("risk-models", STORY, "k1")


def test_the_account_is_read_from_a_url() -> None:
    account = SlackAccount.parse(SecretStr("https://:xoxb-1%2F2@slack.com/api"))
    assert account.base_url == "https://slack.com/api/"
    assert account.token.get_secret_value() == "xoxb-1/2"


@pytest.mark.parametrize(
    "url",
    ["https://slack.com/api", "no url", "http://:s3cret@slack.com/api", "https://:s3cret@[x/api"],
)
def test_a_url_that_is_no_account_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        SlackAccount.parse(SecretStr(url))
    assert "s3cret" not in f"{caught.value}{caught.value.hint}"
