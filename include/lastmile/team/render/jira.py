"""A message as a Jira ticket or comment, in Atlassian's document format.

Text nodes are literal there: what people wrote is never markup, a mention or a link.
"""

import hashlib
import json
from typing import Any

from lastmile.pipeline.base import Strict
from lastmile.team.events import LONGEST_TEXT, MOST_FACTS, Kind, Message, cut
from lastmile.team.render.story import Story, ever_shorter, one_line, story

LONGEST_SUMMARY = 255
"""Jira's limit."""
LARGEST_DOCUMENT = 32_000
"""Jira refuses a text beyond 32,767 characters; it does not say that it counts the document's JSON."""

ISSUE_TYPES = {
    Kind.FAILURE: ("Bug", "Incident", "Task"),
}
"""The issue types that fit, the best first; what else a project has is taken where none of them exists.

A rejected model is a task for its owner, not a bug.
"""
OTHER_ISSUE_TYPES = ("Task", "Story", "Bug")


class JiraTicket(Strict):
    """What a new ticket is made of, besides its project."""

    summary: str
    description: dict[str, Any]
    labels: tuple[str, ...]
    issue_types: tuple[str, ...]
    """Names, the best first."""


def jira_ticket(message: Message, key: str) -> JiraTicket:
    """Render a message as a new ticket; `key` is the outbox entry's."""
    told, event = story(message), message.event
    return JiraTicket(
        summary=cut(one_line(f"{told.title}: {told.headline}"), LONGEST_SUMMARY),
        description=_document(told, None, message, key),
        labels=("lastmile", event.kind.replace("_", "-"), _label(event.pipeline), message.label),
        issue_types=ISSUE_TYPES.get(event.kind, OTHER_ISSUE_TYPES),
    )


def _label(text: str) -> str:
    """Jira refuses a label with blanks."""
    return "-".join(text.split())


def jira_comment(message: Message, key: str) -> dict[str, Any]:
    """Render a message as a comment on the ticket of its cause."""
    told = story(message)
    return _document(told, one_line(told.title), message, key)


def marker(key: str) -> str:
    """Return what tells one of our messages among all others: it stands at the message's end."""
    return f"message {hashlib.sha256(key.encode()).hexdigest()[:12]}"


def _document(told: Story, title: str | None, message: Message, key: str) -> dict[str, Any]:
    ending = f"{told.footer} · {message.label} · {marker(key)}"
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
