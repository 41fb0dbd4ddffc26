"""A message for a terminal, where there is no account to send it with."""

import textwrap

from lastmile.team.events import Message
from lastmile.team.render.story import story

WIDTH = 96


def console_text(message: Message, heading: str) -> str:
    """Render a message as text; the heading says for whom it was meant, and why it was not sent."""
    told = story(message)
    rows = [("", told.headline), ("", told.impact)]
    rows += list(told.facts)
    rows += [("What to do", told.hint), *told.links, ("", told.footer)]
    rows = [(label, text) for label, text in rows if text]
    indent = min(max((len(label) for label, _ in rows), default=0), 28) + 2
    lines = [f"── {heading} " + "─" * max(0, WIDTH - len(heading) - 4), f"  {told.title}"]
    for label, text in rows:
        lines += _row(label, text, indent if label else 0)
    return "\n".join([*lines, "─" * WIDTH]) + "\n"


def _row(label: str, text: str, indent: int) -> list[str]:
    first = "  " + (f"{label}:".ljust(indent - 1) + " " if label else "")
    return textwrap.wrap(
        " ".join(text.split()),
        WIDTH,
        initial_indent=first,
        subsequent_indent="  " + " " * indent,
        break_long_words=False,  # an address must stay one word
        break_on_hyphens=False,
    )
