"""Where an event is told: `RISK`, or with the kind of tracker or chat before it, `github:acme/models`."""

from collections.abc import Sequence

from lastmile.clients.chat import ChatSettings
from lastmile.clients.kinds import CHATS, TRACKERS, Chats, Trackers
from lastmile.clients.tracker import TrackerSettings
from lastmile.team.events import Event, Message


def channels_of(event: Event) -> tuple[str, str]:
    """Return the tracker's and the chat's channel that an event is told through."""
    return parted(event.tracker, TRACKERS)[0], parted(event.channel, CHATS)[0]


def parted(destination: str | None, kinds: Sequence[str]) -> tuple[str, str]:
    """Part a destination into its kind, the first one where it names none, and its place."""
    kind, colon, place = (destination or "").partition(":")
    return (kind, place) if colon and kind in kinds else (kinds[0], destination or "")


def named(destination: str, kinds: Sequence[str]) -> str:
    """Return a destination as it is, if it names a place.

    Raises:
        ValueError: It names none, or a kind that there is not.
    """
    kind, colon, place = destination.partition(":")
    if colon and (kind not in kinds or not place):
        raise ValueError(f"expected a place, or one of {', '.join(kinds)}, a colon and a place")
    if not destination:
        raise ValueError("expected a place")
    return destination


def place_of(channel: str, event: Event) -> str:
    """Return where in a channel's system an event is told; empty: nowhere."""
    kind, place = (
        parted(event.tracker, TRACKERS) if channel in TRACKERS else parted(event.channel, CHATS)
    )
    return place if kind == channel else ""


def key_of(channel: str) -> str:
    """Return the key of the pipeline file that says where in a channel's system."""
    return "tracker" if channel in TRACKERS else "channel"


def destination(channel: str, message: Message) -> str:
    """Say where a message goes, in words."""
    return destination_of(channel, place_of(channel, message.event))


def destination_of(channel: str, place: str) -> str:
    """Say where something goes, in words."""
    settings = kind_settings(Trackers(), Chats()).get(channel)
    if isinstance(settings, TrackerSettings):
        what = f"{settings.title} {settings.ticket}"
        return f"{what} in {place}" if place else what
    what = f"{settings.title if settings else channel} message"
    return f"{what} to #{place.lstrip('#')}" if place else what


def kind_settings(trackers: Trackers, chats: Chats) -> dict[str, TrackerSettings | ChatSettings]:
    """Return the settings of every kind by its name."""
    return {**dict(trackers), **dict(chats)}
