"""A message as Slack blocks.

What people wrote stands in `rich_text` and `plain_text`, which Slack does not parse: no `<!channel>`, no
link and no `*markup*` can come out of a column value or a file name. Only the fallback text, shown in
notifications, is parsed, and there `&`, `<` and `>` are escaped.
"""

from typing import Any

from lastmile.pipeline.base import Strict
from lastmile.team.events import Message, cut
from lastmile.team.render.story import Story, one_line, story

LONGEST_HEADER = 150
"""Slack's limit for a header."""
LONGEST_TEXT = 600
"""Ours, per fact: a message is for reading. The facts in full are in the ticket and the ledger."""
MOST_FACTS = 20


class SlackMessage(Strict):
    """The arguments of `chat.postMessage` that make up its content."""

    text: str
    """What notifications and screen readers give."""
    blocks: tuple[dict[str, Any], ...]


def slack_message(message: Message) -> SlackMessage:
    """Render a message for Slack."""
    told = story(message)
    header = cut(one_line(told.title), LONGEST_HEADER)
    elements = [element for element in (_opening(told), _facts(told), _closing(told)) if element]
    return SlackMessage(
        text=escape(cut(f"{one_line(told.title)} - {one_line(told.headline)}", 1000)),
        blocks=(
            {"type": "header", "text": _plain(header)},
            {"type": "rich_text", "elements": elements},
            {"type": "context", "elements": [_plain(cut(one_line(told.footer), 500))]},
        ),
    )


def escape(text: str) -> str:
    """Escape the three characters that begin a mention, a link or an entity in Slack's mrkdwn."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _opening(told: Story) -> dict[str, Any]:
    parts = [_text(cut(told.headline, 1000), bold=True)]
    if told.impact:
        parts.append(_text("\n" + cut(told.impact, LONGEST_TEXT)))
    return _section(parts)


def _facts(told: Story) -> dict[str, Any] | None:
    if not told.facts:
        return None
    shown = [
        _section([_text(f"{label}: ", bold=True), _text(cut(one_line(value), LONGEST_TEXT) or "-")])
        for label, value in told.facts[:MOST_FACTS]
    ]
    if (more := len(told.facts) - MOST_FACTS) > 0:
        shown.append(_section([_text(f"and {more} more")]))
    return {"type": "rich_text_list", "style": "bullet", "elements": shown}


def _closing(told: Story) -> dict[str, Any] | None:
    parts: list[dict[str, Any]] = []
    if told.hint:
        parts += [_text("What to do: ", bold=True), _text(cut(told.hint, 1000))]
    for label, url in told.links:
        parts.append(_text("\n" if parts and parts[-1]["type"] == "text" else " · "))
        parts.append({"type": "link", "url": url, "text": cut(one_line(label), 100)})
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
