r"""A story in Jira's wiki notation, as Data Center takes it.

The notation is parsed, so every character that means something in it is escaped with `\`, and a line
cannot begin with what would make it a heading or a list.
"""

import re

from lastmile.clients.story import Story, ever_shorter, one_line

LARGEST_TEXT = 32_000
"""Jira refuses a text beyond 32,767 characters."""
LONGEST_TEXT = 2000
MOST_FACTS = 40

_MARKS = re.compile(r"([\\{}\[\]|!*_^~+?@#&<>-])")


def wiki_text(told: Story, ending: str, with_title: bool) -> str:
    """Lay out a story.

    Args:
        told: The story.
        ending: The last paragraph; never cut.
        with_title: Whether the title is said too: a ticket has it above its text, a comment has not.
    """
    versions = (
        _lay_out(shorter, ending, with_title)
        for shorter in ever_shorter(told, LONGEST_TEXT, MOST_FACTS)
    )
    return next(text for text in versions if len(text) <= LARGEST_TEXT)


def _lay_out(told: Story, ending: str, with_title: bool) -> str:
    parts = [_bold(told.title)] if with_title else []
    parts.append(_bold(told.headline))
    if told.impact:
        parts.append(literal(told.impact))
    if told.hint:
        parts += ["h3. What to do", literal(told.hint)]
    if told.facts:
        facts = (
            f"* {_bold(label)}: {literal(one_line(value)) or '-'}" for label, value in told.facts
        )
        parts += ["h3. Facts", "\n".join(facts)]
    if told.links:
        links = (f"* [{literal(one_line(label))}|{url}]" for label, url in told.links)
        parts += ["h3. Where to look", "\n".join(links)]
    return "\n\n".join([*parts, ending])


def _bold(text: str) -> str:
    return f"*{literal(one_line(text)) or '-'}*"


def literal(text: str) -> str:
    """Return a text that the notation shows as it is."""
    lines = (_MARKS.sub(r"\\\1", line) for line in text.splitlines())
    # `h1.`, `bq.` at a line's start, and addresses, which become links by themselves.
    safe = (re.sub(r"^(\s*)(h[1-6]|bq)\.", r"\1\2\\.", line) for line in lines)
    return "\n".join(line.replace("://", ":\\//") for line in safe)
