"""What Lastmile asks of a chat, whichever it is. Each has one file beside this one."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar, Protocol

from pydantic import SecretStr

from lastmile.clients.account import Finding
from lastmile.clients.story import Story
from lastmile.pipeline.base import Strict


class Chat(Protocol):
    """One account of a chat. Connects on first use.

    Every method raises, beside what it says itself:
        SettingsError: The account is wrong, or may not do this.
        NotTakenError: Surely not done; worth another try.
        UnansweredError: Perhaps done: look before trying again.
        PermanentError: Refused, and would be again.
    """

    can_look_back: bool
    """Whether a message can be found again, changed and replied to; a webhook only takes new ones.

    Where it cannot, `find` gives None, `update` does nothing, and `post` posts a reply as a message.
    """

    def post(
        self, place: str, story: Story, key: str, thread: str | None = None, aloud: bool = False
    ) -> str:
        """Post a message; returns its id, which names it among all of the account's.

        Args:
            place: The channel.
            story: What it says.
            key: Ours; `find` finds the message by it.
            thread: Id of the message to reply to.
            aloud: Whether a reply is also shown to those who do not follow the thread.
        """
        ...

    def update(self, message: str, story: Story, key: str) -> None:
        """Let a message say something else from now on. Its key stays."""
        ...

    def find(self, place: str, key: str, since: float, thread: str | None = None) -> str | None:
        """Return the id of the message that was posted under a key, or None.

        Args:
            place: The channel.
            key: As given to `post`.
            since: Unix time before which it cannot have been posted.
            thread: Id of the message it replied to.
        """
        ...

    def examine(self, place: str) -> Iterator[Finding]:
        """Look whether all of the above would work in a place, and post nothing.

        Raises nothing for what is wrong: each fault is a finding, with the permission that is missing.
        """
        ...


class ChatSettings(Strict, ABC):
    """The base of each kind's settings: what a team file may say of that chat."""

    title: ClassVar[str]
    """Its name, as people write it."""

    @abstractmethod
    def place(self) -> str:
        """Return where messages go when neither pipeline nor route says so; empty: nowhere."""

    @abstractmethod
    def open(self, url: SecretStr) -> Chat:
        """Return the chat that a connection's URL names. Asks nothing yet.

        Raises:
            SettingsError: The URL is no account of this chat. The headline does not repeat it.
        """
