"""A chat that only takes messages, as a webhook does: all is told, though nothing is found or changed."""

from collections.abc import Callable, Iterator

import pytest

from lastmile.clients.account import Finding
from lastmile.clients.story import Story
from lastmile.team.channels import ChatChannel
from lastmile.team.events import Action, Event, Message, fingerprint
from sendings import MOMENT, make_sending, make_thread

MakeEvent = Callable[..., Event]


class Webhook:
    """Keeps what it was given."""

    can_look_back = False

    def __init__(self) -> None:
        self.told: list[tuple[str, Story]] = []

    def post(
        self, place: str, story: Story, key: str, thread: str | None = None, aloud: bool = False
    ) -> str:
        self.told.append((place, story))
        return key

    def update(self, message: str, story: Story, key: str) -> None:
        """Do nothing."""

    def find(self, place: str, key: str, since: float, thread: str | None = None) -> str | None:
        raise AssertionError("nobody asks for what it cannot do")

    def examine(self, place: str) -> Iterator[Finding]:
        yield from ()


def make_message(event: Event, action: Action) -> Message:
    return Message(
        action=action, event=event, fingerprint=fingerprint(event), occurrences=1, opened_at=MOMENT,
        cause=event.headline,
    )  # fmt: skip


def test_each_word_is_a_message_and_the_story_keeps_its_first(
    make_event: MakeEvent, caplog: pytest.LogCaptureFixture
) -> None:
    webhook, event = Webhook(), make_event()
    channel = ChatChannel("slack", webhook)
    opened = make_message(event, Action.OPENED)
    first = channel.send(make_sending(opened, "k1", unsettled=True))
    assert first == "k1"
    assert "may come twice" in caplog.text
    thread = make_thread("slack", first, "risk-models")
    for number, action in enumerate((Action.REPEATED, Action.UPDATED, Action.RECOVERED)):
        sending = make_sending(
            make_message(event, action), f"r{number}", opening=opened, thread=thread
        )
        assert channel.send(sending) == first
    assert [place for place, _ in webhook.told] == ["risk-models"] * 3
    assert [story.title for _, story in webhook.told][-1] == "credit_risk recovered"
