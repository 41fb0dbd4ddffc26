"""Every tracker with its fake, as the suite that holds for all of them sees it: one entry for each."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr

from fakes.jira import FakeJira
from fakes.service import FakeService
from lastmile.clients.jira import JiraSettings
from lastmile.clients.tracker import Tracker, TrackerSettings


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A ticket as its readers find it."""

    id: str
    title: str
    text: str
    """Its description, in the system's own format."""
    labels: tuple[str, ...]
    comments: tuple[str, ...]
    is_open: bool
    attachments: tuple[str, ...]
    assignee: str | None


@dataclass(frozen=True, kw_only=True)
class TrackerCase:
    """One tracker."""

    name: str
    make: Callable[[], FakeService]
    """Makes its fake; it has `connection_url`, `token` and `lag_seconds`."""
    settings: TrackerSettings
    place: str
    """A place that is there."""
    nowhere: str
    """A place that is not."""
    create: tuple[str, str]
    """Method and path of the request that makes a ticket in `place`."""
    shown: Callable[[Any], list[Shown]]
    """Every ticket of the fake, oldest first."""
    finish: Callable[[Any, str], None]
    """Does what a person does who closes a ticket."""
    takes_files: bool = True
    answer_of_limit: tuple[int, Any] = (429, {})
    """Status and body with which it says that there were too many requests; `Retry-After` goes with it."""

    def open(self, fake: Any) -> Tracker:
        return self.settings.open(SecretStr(fake.connection_url))


def _jira_shown(fake: FakeJira) -> list[Shown]:
    return [
        Shown(
            id=t.key,
            title=t.fields["summary"],
            text=json.dumps(t.fields["description"], ensure_ascii=False),
            labels=tuple(t.fields["labels"]),
            comments=tuple(json.dumps(c["body"], ensure_ascii=False) for c in t.comments),
            is_open=t.status not in {"Done", "Won't Do"},
            attachments=tuple(t.attachments),
            assignee=next(iter(t.fields.get("assignee", {}).values()), None),
        )
        for t in fake.tickets
    ]


def _jira_finish(fake: FakeJira, ticket: str) -> None:
    next(t for t in fake.tickets if t.key == ticket).status = "Done"


TRACKERS = [
    TrackerCase(
        name="jira",
        make=FakeJira,
        settings=JiraSettings(),
        place="RISK",
        nowhere="NOPE",
        create=("POST", "/rest/api/3/issue"),
        shown=_jira_shown,
        finish=_jira_finish,
    ),
    TrackerCase(
        name="jira-data-center",
        make=lambda: FakeJira(is_cloud=False),
        settings=JiraSettings(),
        place="RISK",
        nowhere="NOPE",
        create=("POST", "/rest/api/2/issue"),
        shown=_jira_shown,
        finish=_jira_finish,
    ),
]
