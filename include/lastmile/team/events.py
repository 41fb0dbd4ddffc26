"""What can happen to a run that the team should know, and when two events have one cause."""

import hashlib
import re
from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import Field

from lastmile.clients.story import cut
from lastmile.clients.tracker import Severity
from lastmile.pipeline.base import Strict
from lastmile.store import canonical_json

LONGEST_HEADLINE = 1000
LONGEST_TEXT = 2000
MOST_FACTS = 40
NAMES = {"pipeline": 63, "run_id": 250, "stage": 63, "error_class": 200, "owner": 255}
"""What names an event's origin, and how long the ledger takes it. Airflow allows longer ones."""


class Kind(StrEnum):
    """What happened."""

    FAILURE = "failure"
    """Something broke; the run did not come to its end."""
    REJECTION = "rejection"
    NEEDS_HUMAN = "needs_human"
    RELEASE = "release"
    UNCHANGED = "unchanged"
    """There was nothing to release: the candidate is the champion, or a person has taken it back."""
    DRY_RUN = "dry_run"

    @property
    def is_incident(self) -> bool:
        """Whether somebody has to act. What remains is an announcement."""
        return self in {Kind.FAILURE, Kind.REJECTION, Kind.NEEDS_HUMAN}


class Event(Strict):
    """One thing that happened. Its words alone must tell a reader what to do."""

    kind: Kind
    pipeline: str
    run_id: str
    stage: str = ""
    error_class: str = ""
    """Name of the error's class, or the verdict's decision."""
    headline: str
    """What happened, with the values."""
    impact: str = ""
    """What users of the model feel. Empty: filled in from the ledger when the event is recorded."""
    hint: str = ""
    """What to do."""
    facts: dict[str, str] = Field(default_factory=dict)
    """Label and value, in the order they are shown."""
    links: dict[str, str] = Field(default_factory=dict)
    """Label and http(s) address."""
    owner: str
    tracker: str | None = None
    """Where its ticket goes, as `RISK` or `github:acme/models`; None: as the team file says."""
    channel: str | None = None
    """Where its message goes, as `risk-models` or `teams:models`; None: as the team file says."""
    severity: Severity | None = None
    """How much it matters; None until it is recorded: the team file says so."""

    def with_texts(self, change: Callable[[str], str]) -> "Event":
        """Return the event with every text of it changed, and cut to a bearable length."""

        def short(text: str, longest: int = LONGEST_TEXT) -> str:
            # First roughly, so that a huge text costs nothing; what `change` looks for may be cut
            # in two there, but never in what is kept.
            return cut(change(text[: 10 * longest]), longest)

        def pairs(texts: dict[str, str]) -> dict[str, str]:
            first = list(texts.items())[:MOST_FACTS]
            return {short(label, 200): short(value) for label, value in first}

        return self.model_copy(
            update={
                **{name: short(getattr(self, name), longest) for name, longest in NAMES.items()},
                "headline": short(self.headline, LONGEST_HEADLINE),
                "impact": short(self.impact),
                "hint": short(self.hint),
                "facts": pairs(self.facts),
                "links": pairs(self.links),
            }
        )


class Action(StrEnum):
    """What a message says about its incident."""

    OPENED = "opened"
    REPEATED = "repeated"
    RECOVERED = "recovered"
    ESCALATED = "escalated"
    """Nobody has taken it up for too long."""
    UPDATED = "updated"
    """No word of its own: only what is shown of the incident's state changes."""


class Message(Strict):
    """One entry of the outbox.

    It holds the event, not its rendering: a mended renderer still reaches a message that had to wait.
    """

    action: Action
    event: Event
    """What happened now: the first event, a repeat, or what brought recovery."""
    fingerprint: str
    """The incident's."""
    occurrences: int
    opened_at: datetime
    cause: str
    """The incident's headline."""

    @property
    def label(self) -> str:
        """The label by which a ticket of this cause is found again."""
        return f"lastmile-{self.fingerprint[:12]}"


def fingerprint(event: Event) -> str:
    """Return what makes two events one cause, as SHA-256 in hex.

    It is pipeline, stage, error class, and the headline without its numbers, ids, paths and times. An
    announcement has no cause but its own run.
    """
    parts: list[Any] = [event.pipeline, event.stage, event.error_class, generalise(event.headline)]
    if not event.kind.is_incident:
        parts += [event.kind, event.run_id]
    return hashlib.sha256(canonical_json(parts)).hexdigest()


_VARIABLE = [
    (re.compile(pattern, re.IGNORECASE), replacement)
    for pattern, replacement in (
        (r"\b[a-z][a-z0-9+.-]*://[^\s'\"<>]+", "<url>"),
        (r"\b(?:manual|scheduled|backfill|asset_triggered)__[^\s'\"]+", "<run>"),
        (r"(?<![\w.])(?:~|\.{1,2})?/[^\s'\":,;()]*[\w/]", "<path>"),
        (r"\b[a-z]:\\[^\s'\":,;()]+", "<path>"),
        (r"\b[\w.-]+(?:/[\w.*-]+)+", "<path>"),
        (r"\b\d{4}-\d\d-\d\d(?:[T ]\d\d:?\d\d(?::?\d\d)?(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?)?\b", "<time>"),
        (r"\b\d\d?:\d\d(?::\d\d(?:[.,]\d+)?)?\b", "<time>"),
        (r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "<id>"),
        (r"\b0x[0-9a-f]+\b", "<id>"),
        (r"\b(?=[0-9a-f]*\d)(?=[0-9a-f]*[a-f])[0-9a-f]{7,}\b", "<id>"),
        (r"\btmp[a-z0-9_]{6,}\b", "<id>"),
        (r"(?<=-)(?=[a-z]*\d)[a-z0-9]{5,10}\b", "<id>"),  # the end of a pod's name
        (r"(?<![\w])[-+]?\d[\d.,_]*(?:e[-+]?\d+)?(?:\s?(?:%|[kmgt]?i?b\b|[mnµ]?s\b|x\b))?", "#"),
    )
]  # fmt: skip


def generalise(headline: str) -> str:
    """Return a headline without what differs from one occurrence of a cause to the next."""
    for pattern, replacement in _VARIABLE:
        headline = pattern.sub(replacement, headline)
    return " ".join(headline.casefold().split())


_UNSHOWABLE = re.compile(
    # Control characters (a terminal obeys them, a database refuses NUL) and those that turn the
    # direction of writing (the text would show something else than it is).
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]"
)


def clean(text: str) -> str:
    """Return a text that every screen and database takes: line ends and tabs are the only controls."""
    text = text.encode("utf-8", "replace").decode()  # half a surrogate pair cannot be sent
    return _UNSHOWABLE.sub("\ufffd", text.replace("\r\n", "\n").replace("\r", "\n"))
