"""Which ways to the team are open, and where a message goes."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from fakes.jira import FakeJira
from fakes.slack import FakeSlack
from lastmile.errors import PermanentError, SettingsError
from lastmile.team.channels import (
    Channel,
    ChatChannel,
    NoThreadError,
    TrackerChannel,
    names_destination,
    open_channels,
)
from lastmile.team.events import Action, Event, Message, fingerprint
from lastmile.team.places import destination
from sendings import make_sending

MakeEvent = Callable[..., Event]


def make_message(event: Event, action: Action = Action.OPENED) -> Message:
    return Message(
        action=action, event=event, fingerprint=fingerprint(event), occurrences=1,
        opened_at=datetime.now(UTC), cause=event.headline,
    )  # fmt: skip


def open_channel(name: str) -> Channel:
    channel = open_channels()[name]
    assert isinstance(channel, TrackerChannel | ChatChannel)
    return channel


def test_without_connections_no_channel_is_open() -> None:
    assert open_channels() == {"jira": None, "slack": None}


@pytest.mark.usefixtures("accounts")
def test_with_connections_both_are_open_and_nothing_was_asked_yet(
    jira: FakeJira, slack: FakeSlack
) -> None:
    channels = open_channels()
    assert isinstance(channels["jira"], TrackerChannel)
    assert isinstance(channels["slack"], ChatChannel)
    assert jira.asked == slack.asked == []


def test_a_wrong_connection_closes_its_own_channel_only(
    monkeypatch: pytest.MonkeyPatch, slack: FakeSlack
) -> None:
    monkeypatch.setenv("LASTMILE_CONNECTION_JIRA", "http://me:s3cret@jira.example.org")
    monkeypatch.setenv("LASTMILE_CONNECTION_SLACK", slack.connection_url)
    channels = open_channels()
    assert isinstance(channels["jira"], SettingsError)
    assert "s3cret" not in f"{channels['jira']} {channels['jira'].hint}"
    assert isinstance(channels["slack"], ChatChannel)


def test_a_destination_is_named_in_words(make_event: MakeEvent) -> None:
    message = make_message(make_event())
    assert destination("jira", message) == "Jira ticket in RISK"
    assert destination("slack", message) == "Slack message to #risk-models"
    elsewhere = make_message(make_event(tracker="jira:OPS", channel="slack:ops"))
    assert destination("jira", elsewhere) == "Jira ticket in OPS"
    assert destination("slack", elsewhere) == "Slack message to #ops"
    nobody = make_message(make_event(tracker=None, channel=None))
    assert destination("jira", nobody) == "Jira ticket"
    assert destination("slack", nobody) == "Slack message"
    assert names_destination("jira", message)
    assert not names_destination("jira", nobody)
    assert not names_destination("slack", nobody)


@pytest.mark.usefixtures("accounts")
def test_a_channel_says_where_the_message_stands(
    make_event: MakeEvent, jira: FakeJira, slack: FakeSlack
) -> None:
    sending = make_sending(make_message(make_event()))
    assert open_channel("jira").send(sending) == "RISK-1"
    assert open_channel("slack").send(sending) == f"C0RISK/{slack.messages[0]['ts']}"


@pytest.mark.usefixtures("accounts")
@pytest.mark.parametrize("name", ["jira", "slack"])
def test_a_recovery_without_a_beginning_is_not_sent(
    make_event: MakeEvent, jira: FakeJira, slack: FakeSlack, name: str
) -> None:
    with pytest.raises(NoThreadError):
        open_channel(name).send(make_sending(make_message(make_event(), Action.RECOVERED)))
    assert jira.tickets == slack.messages == []


@pytest.mark.usefixtures("accounts")
def test_a_repeat_whose_beginning_was_given_up_begins_the_story(
    make_event: MakeEvent, jira: FakeJira, slack: FakeSlack
) -> None:
    sending = make_sending(make_message(make_event(), Action.REPEATED))
    open_channel("jira").send(sending)
    open_channel("slack").send(sending)
    assert "again" in jira.tickets[0].fields["summary"]
    assert slack.messages[0]["thread_ts"] is None


@pytest.mark.usefixtures("accounts")
def test_a_ticket_that_a_person_labelled_as_the_cause_is_used(
    make_event: MakeEvent, jira: FakeJira
) -> None:
    channel, event = open_channel("jira"), make_event()
    channel.send(make_sending(make_message(event)))
    assert channel.send(make_sending(make_message(event), "k2")) == "RISK-1"
    assert [len(t.comments) for t in jira.tickets] == [1]


@pytest.mark.usefixtures("accounts")
@pytest.mark.parametrize("name", ["jira", "slack"])
def test_a_message_to_nowhere_is_refused(make_event: MakeEvent, name: str) -> None:
    with pytest.raises(PermanentError, match="names no"):
        open_channel(name).send(make_sending(make_message(make_event(tracker=None, channel=None))))
