"""A story in Atlassian's document format, as Jira Cloud takes it.

Text nodes are literal there: what people wrote is never markup, a mention or a link.
"""

import json
from typing import Any

from lastmile.clients.story import Story, ever_shorter, one_line

LARGEST_DOCUMENT = 32_000
"""Jira refuses a text beyond 32,767 characters; it does not say that it counts the document's JSON."""
LONGEST_TEXT = 2000
MOST_FACTS = 40


def adf_document(told: Story, ending: str, with_title: bool) -> dict[str, Any]:
    """Lay out a story.

    Args:
        told: The story.
        ending: The last paragraph; never cut.
        with_title: Whether the title is said too: a ticket has it above its text, a comment has not.
    """
    title = one_line(told.title) if with_title else None
    versions = (
        _content(shorter, title, ending) for shorter in ever_shorter(told, LONGEST_TEXT, MOST_FACTS)
    )
    content = next(found for found in versions if len(json.dumps(found)) <= LARGEST_DOCUMENT)
    return {"type": "doc", "version": 1, "content": content}


def _content(told: Story, title: str | None, ending: str) -> list[dict[str, Any]]:
    content = [_paragraph(_text(title, strong=True))] if title else []
    content.append(_paragraph(_text(told.headline, strong=True)))
    if told.impact:
        content.append(_paragraph(_text(told.impact)))
    if told.hint:
        content += [_heading("What to do"), _paragraph(_text(told.hint))]
    if told.facts:
        content += [_heading("Facts"), _bullets([_fact(*fact) for fact in told.facts])]
    if told.links:
        content += [_heading("Where to look"), _bullets([_link(*link) for link in told.links])]
    content.append(_paragraph(_text(ending)))
    return content


def _fact(label: str, value: str) -> dict[str, Any]:
    return _paragraph(_text(f"{label}: ", strong=True), _text(value or "-"))


def _link(label: str, url: str) -> dict[str, Any]:
    mark = {"type": "link", "attrs": {"href": url}}
    return _paragraph({"type": "text", "text": label or url, "marks": [mark]})


def _bullets(items: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "type": "bulletList",
        "content": [{"type": "listItem", "content": [item]} for item in items],
    }


def _heading(text: str) -> dict[str, Any]:
    return {"type": "heading", "attrs": {"level": 3}, "content": [_text(text)]}


def _paragraph(*nodes: dict[str, Any]) -> dict[str, Any]:
    return {"type": "paragraph", "content": list(nodes)}


def _text(text: str, strong: bool = False) -> dict[str, Any]:
    node: dict[str, Any] = {"type": "text", "text": text or "-"}  # an empty node is refused
    if strong:
        node["marks"] = [{"type": "strong"}]
    return node
