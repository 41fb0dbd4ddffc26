"""What a message says, in order, before any system's format is laid over it."""

from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

from lastmile.team.events import Action, Event, Kind, Message

TITLES = {
    Kind.FAILURE: "{pipeline} failed in {stage}",
    Kind.REJECTION: "{pipeline}: the candidate was rejected",
    Kind.NEEDS_HUMAN: "{pipeline}: a human has to decide",
    Kind.RELEASE: "{pipeline} was released",
    Kind.UNCHANGED: "{pipeline}: nothing has changed",
    Kind.DRY_RUN: "{pipeline}: dry run",
}


@dataclass(frozen=True)
class Story:
    """The parts of a message. Every text is data: each format has to keep it from being markup."""

    title: str
    headline: str
    impact: str
    facts: tuple[tuple[str, str], ...]
    hint: str
    links: tuple[tuple[str, str], ...]
    """Labels and http(s) addresses."""
    footer: str


def story(message: Message) -> Story:
    """Tell what happened: what, what users feel, the facts, what to do, where to look, whose it is."""
    event = message.event
    links, facts = _sorted_links(event)
    if message.action is Action.RECOVERED:
        facts += (("Was", message.cause), ("Seen", _times(message)))
    return Story(
        title=_title(message),
        headline=event.headline,
        impact=event.impact,
        facts=tuple(event.facts.items()) + facts,
        hint=event.hint if message.action is not Action.RECOVERED else "",
        links=links,
        footer=f"Owner {event.owner} · run {event.run_id}",
    )


def _title(message: Message) -> str:
    event = message.event
    title = TITLES[event.kind].format(pipeline=event.pipeline, stage=event.stage or "its run")
    if message.action is Action.OPENED:
        return title
    if message.action is Action.REPEATED:
        return f"{title} again, {_times(message)}"
    return f"{event.pipeline} recovered"


def _times(message: Message) -> str:
    count = message.occurrences
    return f"{count} time{'s' if count != 1 else ''} since {when(message.opened_at)}"


def _sorted_links(
    event: Event,
) -> tuple[tuple[tuple[str, str], ...], tuple[tuple[str, str], ...]]:
    """Part links that may be followed from what only looks like one (`javascript:`, a path)."""
    links = tuple((label, url) for label, url in event.links.items() if _is_web(url))
    facts = tuple((label, url) for label, url in event.links.items() if not _is_web(url))
    return links, facts


def _is_web(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return (
        parts.scheme in {"http", "https"}
        and bool(parts.hostname)
        and not set(url) & set(' \n\t"<>|')
    )


def when(moment: datetime) -> str:
    """A moment as people read it."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def one_line(text: str) -> str:
    """A text without line breaks, for places that take one line."""
    return " ".join(text.split())
