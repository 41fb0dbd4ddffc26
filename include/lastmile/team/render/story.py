"""What a message says, in order: the story that each system then lays out in its own format."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from lastmile.clients.story import Story, cut, one_line
from lastmile.team.events import Action, Event, Kind, Message

if TYPE_CHECKING:
    from lastmile.ledger.incidents import Incident

TITLES = {
    Kind.FAILURE: "{pipeline} failed in {stage}",
    Kind.REJECTION: "{pipeline}: the candidate was rejected",
    Kind.NEEDS_HUMAN: "{pipeline}: a human has to decide",
    Kind.RELEASE: "{pipeline} was released",
    Kind.UNCHANGED: "{pipeline}: nothing was released",
    Kind.DRY_RUN: "{pipeline}: dry run",
}


def story(message: Message) -> Story:
    """Tell what happened: what, what users feel, the facts, what to do, where to look, whose it is."""
    event = message.event
    links, no_links = _sorted_links(event)
    facts = (*event.facts.items(), *no_links)
    if message.action in {Action.RECOVERED, Action.ESCALATED}:
        # What brought recovery is told in full by its own message, the incident by its first one.
        facts = (("Was", message.cause), ("Seen", _times(message)), *no_links)
    title = cut(_title(message), 300)
    return Story(
        title=title,
        headline=event.headline or title,
        impact=event.impact,
        facts=facts,
        hint=event.hint if message.action is not Action.RECOVERED else "",
        links=links,
        footer=cut(f"Owner {event.owner} · run {event.run_id}", 600),
    )


def ticket_title(message: Message) -> str:
    """Return the title of the ticket of a cause."""
    told = story(message)
    return one_line(f"{told.title}: {told.headline}")


def _title(message: Message) -> str:
    event = message.event
    title = TITLES[event.kind].format(pipeline=event.pipeline, stage=event.stage or "its run")
    match message.action:
        case Action.REPEATED:
            return f"{title} again, {_times(message)}"
        case Action.RECOVERED:
            return f"{event.pipeline} recovered"
        case Action.ESCALATED:
            return f"{title}: nobody has taken it up since {when(message.opened_at)}"
    return title


def state_of(incident: "Incident") -> str:
    """Say how an incident stands now; nothing of an announcement."""
    count = incident.occurrences
    seen = f", seen {count} times, last {when(incident.changed_at)}" if count > 1 else ""
    if incident.status == "noted":
        return ""
    if incident.status == "recovered":
        times = f" after {count} times" if count > 1 else ""
        return f"🟢 Recovered {when(incident.changed_at)}{times}"
    if incident.silenced_until is not None and incident.silence:
        return f"🔕 Silenced by {incident.silence} until {when(incident.silenced_until)}{seen}"
    taken = f"; {incident.touched_by} is at it" if incident.touched_by else ""
    return f"🔴 Open since {when(incident.opened_at)}{seen}{taken}"


def _times(message: Message) -> str:
    count = message.occurrences
    return f"{count} time{'s' if count != 1 else ''} since {when(message.opened_at)}"


def _sorted_links(
    event: Event,
) -> tuple[tuple[tuple[str, str], ...], tuple[tuple[str, str], ...]]:
    """Part links that may be followed from what only looks like one (`javascript:`, a path)."""
    links = tuple(
        (one_line(label) or url, url) for label, url in event.links.items() if _is_web(url)
    )
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
        and url.isascii()  # letters of other scripts may pass for those of a known host
        and not set(url) & set(' \n\t"<>|')
    )


def when(moment: datetime) -> str:
    """A moment as people read it."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
