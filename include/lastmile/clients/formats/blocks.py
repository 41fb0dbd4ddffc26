"""A story as Slack blocks.

What people wrote stands in `rich_text` and `plain_text`, which Slack does not parse: no `<!channel>`, no
link and no `*markup*` can come out of a column value or a file name. Only the fallback text, shown in
notifications, is parsed, and there `&`, `<` and `>` are escaped.
"""

import json
import re
from typing import Any

from lastmile.clients.story import Story, cut, ever_shorter, one_line
from lastmile.pipeline.base import Strict

LONGEST_HEADER = 150
"""Slack's limit for a header."""
LARGEST_BLOCKS = 13_000
"""Slack refuses all blocks of a message together beyond 13,200 characters of JSON."""
LONGEST_TEXT = 600
"""Ours, as `MOST_FACTS` is: a message is for reading. The facts in full are in the ticket and the ledger."""
MOST_FACTS = 20

MEMBER = re.compile(r"[UW][A-Z0-9]+")
"""A member's id. Slack refuses a whole message for anything else in its place."""


class SlackMessage(Strict):
    """The arguments of `chat.postMessage` that make up its content."""

    text: str
    """What notifications and screen readers give."""
    blocks: tuple[dict[str, Any], ...]


def slack_message(told: Story) -> SlackMessage:
    """Lay out a story."""
    versions = map(_blocks, ever_shorter(told, LONGEST_TEXT, MOST_FACTS))
    return SlackMessage(
        text=escape(cut(f"{one_line(told.title)} - {one_line(told.headline)}", 1000)),
        blocks=next(blocks for blocks in versions if len(json.dumps(blocks)) <= LARGEST_BLOCKS),
    )


def escape(text: str) -> str:
    """Escape the three characters that begin a mention, a link or an entity in Slack's mrkdwn."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _blocks(told: Story) -> tuple[dict[str, Any], ...]:
    elements = [element for element in (_opening(told), _facts(told), _closing(told)) if element]
    state = cut(one_line(told.state), 250)
    return (
        {"type": "header", "text": _plain(cut(one_line(told.title), LONGEST_HEADER))},
        *([{"type": "context", "elements": [_plain(state)]}] if state else []),
        {"type": "rich_text", "elements": elements},
        {"type": "context", "elements": [_plain(cut(one_line(told.footer), 250) or "-")]},
    )


def _opening(told: Story) -> dict[str, Any]:
    parts: list[dict[str, Any]] = [
        {"type": "user", "user_id": person} for person in told.calls if MEMBER.fullmatch(person)
    ]
    parts += [_text((" " if parts else "") + (told.headline or "-"), bold=True)]
    if told.impact:
        parts.append(_text("\n" + told.impact))
    return _section(parts)


def _facts(told: Story) -> dict[str, Any] | None:
    if not told.facts:
        return None
    shown = [
        _section([_text(f"{label}: ", bold=True), _text(one_line(value) or "-")])
        for label, value in told.facts
    ]
    return {"type": "rich_text_list", "style": "bullet", "elements": shown}


def _closing(told: Story) -> dict[str, Any] | None:
    parts: list[dict[str, Any]] = []
    if told.hint:
        parts += [_text("What to do: ", bold=True), _text(told.hint)]
    for number, (label, url) in enumerate(told.links):
        if parts:
            parts.append(_text(" · " if number else "\n"))
        parts.append({"type": "link", "url": url, "text": label})
    return _section(parts) if parts else None


def _section(parts: list[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "rich_text_section", "elements": parts}


def _text(text: str, bold: bool = False) -> dict[str, Any]:
    element: dict[str, Any] = {"type": "text", "text": text}
    if bold:
        element["style"] = {"bold": True}
    return element


def _plain(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text, "emoji": False}
