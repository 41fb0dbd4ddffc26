"""What a message says, in order, before any system's format is laid over it.

Every text in it is data: each format has to keep it from being markup, a mention or a link.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace


@dataclass(frozen=True, kw_only=True)
class Story:
    """The parts of a message."""

    title: str
    state: str = ""
    """How it stands now, as `Open, seen 3 times since ...`; empty where a message has no state."""
    headline: str
    impact: str = ""
    facts: tuple[tuple[str, str], ...] = ()
    hint: str = ""
    links: tuple[tuple[str, str], ...] = ()
    """Labels and http(s) addresses."""
    footer: str = ""
    calls: tuple[str, ...] = ()
    """Who is to be called by name, as the team file names them in this system. A chat alone does so."""


def ever_shorter(told: Story, longest: int, most: int) -> Iterator[Story]:
    """Give a story within limits, then shorter and shorter ones: systems refuse what is too large whole.

    Args:
        told: The story. What is left out of it stands in the ledger.
        longest: Characters of each text, for a start.
        most: Facts, and links, for a start.
    """
    while True:
        yield replace(
            told,
            headline=cut(told.headline, longest),
            impact=cut(told.impact, longest),
            hint=cut(told.hint, longest),
            facts=_fewer(
                tuple((cut(label, 100), cut(v, longest)) for label, v in told.facts), most
            ),
            links=tuple(
                (cut(label, 100), url) for label, url in told.links if len(url) <= 2 * longest
            )[:most],
        )
        longest, most = max(longest // 2, 50), max(most // 2, 1)


def _fewer(facts: tuple[tuple[str, str], ...], most: int) -> tuple[tuple[str, str], ...]:
    more = len(facts) - most
    return facts if more <= 0 else (*facts[:most], ("And", f"{more} more facts"))


def cut(text: str, longest: int) -> str:
    """Return at most `longest` characters; an ellipsis where something is missing."""
    return text if len(text) <= longest else text[: longest - 1].rstrip() + "…"


def one_line(text: str) -> str:
    """A text without line breaks, for places that take one line."""
    return " ".join(text.split())
