"""The real Slack library and our client against a server that is as strict as Slack."""

import logging
from typing import Any

import pytest
from pydantic import SecretStr

from fakes.service import answering, cut_off, done_but_unanswered
from fakes.slack import TOKEN, FakeSlack
from lastmile.clients.answers import NotTakenError, UnansweredError
from lastmile.clients.slack import PostedMessage, SlackAccount, SlackClient
from lastmile.errors import LastmileError, PermanentError, SettingsError

BLOCKS: list[dict[str, Any]] = [
    {"type": "header", "text": {"type": "plain_text", "text": "It broke", "emoji": False}}
]


def open_client(url: str) -> SlackClient:
    return SlackClient(SlackAccount.parse(SecretStr(url)))


@pytest.fixture
def client(slack: FakeSlack) -> SlackClient:
    return open_client(slack.connection_url)


def post(
    client: SlackClient, channel: str = "risk-models", key: str = "k1", thread: str | None = None
) -> PostedMessage:
    return client.post(channel, "It broke", BLOCKS, key, thread)


def test_a_message_is_posted_by_channel_name_and_answered_in_its_thread(
    slack: FakeSlack, client: SlackClient
) -> None:
    root = post(client)
    reply = post(client, root.channel, "k2", root.ts)
    assert [m["thread_ts"] for m in slack.messages] == [None, root.ts]
    assert slack.messages[0]["blocks"] == BLOCKS
    assert PostedMessage.parse(str(reply)) == reply


def test_a_message_is_found_again_by_its_key_also_on_later_pages(
    slack: FakeSlack, client: SlackClient
) -> None:
    root = post(client)
    reply = post(client, root.channel, "r1", root.ts)
    for n in range(5):
        post(client, key=f"later {n}")
        post(client, root.channel, f"reply {n}", root.ts)
    assert client.find("risk-models", "k1", 0, None) == root
    assert client.find(root.channel, "r1", 0, root.ts) == reply
    assert client.find("risk-models", "no such key", 0, None) is None
    slack.scopes.add("groups:read")
    assert client.find("no-such-channel", "k1", 0, None) is None


def test_a_bot_that_may_not_read_says_which_scope_it_lacks(
    slack: FakeSlack, client: SlackClient
) -> None:
    slack.scopes -= {"channels:history"}
    with pytest.raises(SettingsError, match="missing_scope: it needs channels:history"):
        client.find("C0RISK", "k1", 0, None)


def test_a_private_channel_needs_a_scope_of_its_own_to_be_looked_up(
    slack: FakeSlack, client: SlackClient
) -> None:
    slack.private.add("C0RISK")
    root = post(client)
    with pytest.raises(SettingsError, match="missing_scope: it needs groups:read"):
        client.find("risk-models", "k1", 0, None)
    slack.scopes.add("groups:read")
    assert client.find("risk-models", "k1", 0, None) == root


@pytest.mark.parametrize("channel", ["nowhere", "elsewhere", "old"])
def test_a_channel_that_cannot_be_written_to_is_refused_for_good(
    client: SlackClient, channel: str
) -> None:
    with pytest.raises(
        PermanentError, match=r"channel_not_found|not_in_channel|is_archived"
    ) as caught:
        post(client, channel)
    assert not isinstance(caught.value, SettingsError)


def test_blocks_that_break_the_format_are_refused(client: SlackClient) -> None:
    too_long = {"type": "plain_text", "text": "x" * 151}
    with pytest.raises(PermanentError, match="invalid_blocks"):
        client.post("risk-models", "x", [BLOCKS[0] | {"text": too_long}], "k")


def test_a_wrong_token_is_the_accounts_fault(slack: FakeSlack) -> None:
    with pytest.raises(SettingsError, match="invalid_auth"):
        post(open_client(slack.connection_url.replace("t0ken", "other")))


def test_too_many_messages_say_how_long_to_wait_and_nobody_sleeps(
    slack: FakeSlack, client: SlackClient
) -> None:
    slack.faults.append(answering(429, {"ok": False, "error": "ratelimited"}, Retry_After="30"))
    with pytest.raises(NotTakenError) as caught:
        post(client)
    assert caught.value.retry_after == 30


@pytest.mark.parametrize(
    "fault",
    [cut_off, answering(500, {"ok": False, "error": "internal_error"}),
     answering(502, b"<html>Bad gateway</html>"),
     answering(200, b"<html>proxy</html>"), answering(200, {"ok": False, "error": "fatal_error"})],
)  # fmt: skip
def test_an_answer_that_says_nothing_leaves_it_open_whether_it_was_done(
    slack: FakeSlack, client: SlackClient, fault: Any
) -> None:
    slack.faults.append(fault)
    with pytest.raises(UnansweredError):
        post(client)


def test_the_library_does_not_post_twice_by_itself(slack: FakeSlack, client: SlackClient) -> None:
    slack.faults.append(done_but_unanswered)
    with pytest.raises(UnansweredError):
        post(client)
    assert len(slack.messages) == 1
    assert client.find("risk-models", "k1", 0, None) is not None


def test_slack_that_cannot_be_reached_has_surely_done_nothing() -> None:
    with pytest.raises(NotTakenError, match="cannot be reached"):
        post(open_client("http://:tok@127.0.0.1:1/api"))


def test_the_token_is_in_no_error_no_log_and_no_representation(
    slack: FakeSlack, client: SlackClient, caplog: pytest.LogCaptureFixture
) -> None:
    account = SlackAccount.parse(SecretStr(slack.connection_url))
    texts = [repr(account), str(account), account.model_dump_json(), repr(client)]
    with caplog.at_level(logging.DEBUG):
        post(client)
        for fault in (
            answering(200, {"ok": False, "error": "invalid_auth"}),
            answering(500),
            cut_off,
        ):
            slack.faults.append(fault)
            with pytest.raises(LastmileError) as caught:
                post(client)
            texts += [str(caught.value), caught.value.hint, repr(caught.value.__cause__)]
    assert TOKEN not in "\n".join([*texts, caplog.text])


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
