"""Every chat with its fake, as the suite that holds for all of them sees it: one entry for each."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr

from fakes.service import FakeService
from fakes.slack import FakeSlack
from lastmile.clients.chat import Chat, ChatSettings
from lastmile.clients.slack import SlackSettings


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A message as its readers see it."""

    text: str
    """All of it, in the system's own format."""
    is_reply: bool


@dataclass(frozen=True, kw_only=True)
class ChatCase:
    """One chat."""

    name: str
    make: Callable[[], FakeService]
    """Makes its fake; it has `connection_url` and `token`."""
    settings: ChatSettings
    place: str
    """A channel that is there."""
    nowhere: str
    """A channel that is not; empty where the account itself is the channel."""
    post: tuple[str, str]
    """Method and path of the request that posts a message."""
    seen: Callable[[Any], list[Seen]]
    """Every message of the fake, oldest first."""

    def open(self, fake: Any) -> Chat:
        return self.settings.open(SecretStr(fake.connection_url))


def _slack_seen(fake: FakeSlack) -> list[Seen]:
    return [
        Seen(
            text=json.dumps([m["text"], m["blocks"]], ensure_ascii=False),
            is_reply=m["thread_ts"] is not None,
        )
        for m in fake.messages
    ]


CHATS = [
    ChatCase(
        name="slack",
        make=FakeSlack,
        settings=SlackSettings(),
        place="risk-models",
        nowhere="no-such-channel",
        post=("POST", "/api/chat.postMessage"),
        seen=_slack_seen,
    ),
]
