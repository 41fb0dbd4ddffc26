"""Jira, Cloud (REST v3) and Data Center (v2): a ticket is an issue."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any, ClassVar

from pydantic import Field, SecretStr

from lastmile.clients.account import Finding
from lastmile.clients.formats.adf import adf_document
from lastmile.clients.formats.wiki import wiki_text
from lastmile.clients.jira_project import JiraProject
from lastmile.clients.jira_session import JiraAccount, JiraSession, quoted
from lastmile.clients.story import Story, cut, one_line
from lastmile.clients.tracker import NewTicket, Ticket, TicketKind, Tracker, TrackerSettings
from lastmile.errors import LastmileError, PermanentError, SettingsError

log = logging.getLogger(__name__)

LONGEST_SUMMARY = 255
"""Jira's limit."""
MOST_STEPS = 5
"""A workflow may lead from the first status to the last over others."""
NEEDED = ("BROWSE_PROJECTS", "CREATE_ISSUES", "EDIT_ISSUES", "ADD_COMMENTS", "TRANSITION_ISSUES")
"""The permissions without which tickets cannot be made or kept up to date."""
HELPFUL = ("CREATE_ATTACHMENTS", "ASSIGN_ISSUES")
"""Without these a ticket has no report, or nobody it is for."""


class JiraSettings(TrackerSettings):
    """What a team file may say of Jira."""

    title: ClassVar[str] = "Jira"

    project: str = ""
    """Key of the project for pipelines that name none; empty: they get no ticket."""
    fault_types: tuple[str, ...] = ("Bug", "Incident", "Task")
    """Issue types for what broke, the best first; what the project has is taken."""
    task_types: tuple[str, ...] = ("Task", "Story")
    """Issue types for what somebody has to decide or do, the best first."""
    component: str = ""
    """Component that every ticket gets, where the project has it."""
    fields: dict[str, str] = Field(default_factory=dict)
    """Values of further fields that the project requires: the field's name or id, and its value."""
    done: tuple[str, ...] = ("Done", "Closed", "Resolved")
    """Statuses that end a ticket, the best first; else any of the category done."""

    def place(self) -> str:
        """Return the project's key."""
        return self.project

    def open(self, url: SecretStr) -> Tracker:
        """Return the Jira that a connection's URL names, `https://<email>:<token>@<host>`.

        Raises:
            SettingsError: The URL is no account of Jira.
        """
        return JiraTracker(JiraAccount.parse(url), self)


class JiraTracker:
    """One account's tickets."""

    def __init__(self, account: JiraAccount, settings: JiraSettings | None = None) -> None:
        self._session = JiraSession(account)
        self._settings = settings or JiraSettings()
        self._projects: dict[str, JiraProject] = {}

    def address(self, ticket: str) -> str:
        """Return where a person finds a ticket."""
        return f"{self._session.server}/browse/{ticket}"

    def create(self, new: NewTicket) -> str:
        """Make a ticket; returns its key."""
        fields = self._fields_of(new)
        with self._session.reporting(f"make a ticket in {new.place}"):
            return str(self._session.jira.create_issue(fields=fields, prefetch=False).key)

    def find(self, place: str, label: str) -> Ticket | None:
        """Return the newest ticket with this label, an open one before one that is done."""
        query = f"project = {quoted(place)} AND labels = {quoted(label)} ORDER BY created DESC"
        with self._session.reporting(f"look for a ticket in {place}"):
            jira = self._session.jira
            search = jira.enhanced_search_issues if self._session.is_cloud else jira.search_issues
            found: Any = search(query, maxResults=20, fields="summary,status", json_result=True)
        tickets = [_ticket(issue) for issue in found["issues"]]
        return next((t for t in tickets if t.is_open), tickets[0] if tickets else None)

    def read(self, ticket: str) -> Ticket | None:
        """Return a ticket as it is now; None where it is gone, or was moved to where we may not look."""
        from jira.exceptions import JIRAError

        with self._session.reporting(f"read {ticket}"):
            try:
                return _ticket(self._session.jira.issue(ticket, fields="summary,status").raw)
            except JIRAError as error:
                if error.status_code == 404:
                    return None
                raise

    def holds(self, ticket: str, marker: str) -> bool:
        """Tell whether a ticket's description or one of its newest comments carries a marker."""
        with self._session.reporting(f"read {ticket}"):
            jira = self._session.jira
            issue = jira.issue(ticket, fields="description")
            comments = jira.comments(ticket, max_results=100, order_by="-created")
        documents = [issue.raw["fields"].get("description"), *(c.raw["body"] for c in comments)]
        return any(marker in json.dumps(document, ensure_ascii=False) for document in documents)

    def comment(self, ticket: str, story: Story, marker: str) -> None:
        """Comment on a ticket."""
        body = self._document(story, _ending(story, marker), with_title=True)
        with self._session.reporting(f"comment on {ticket}"):
            self._session.jira.add_comment(ticket, body)

    def retitle(self, ticket: str, title: str) -> None:
        """Give a ticket another summary."""
        with self._session.reporting(f"change {ticket}"):
            self._session.put(
                f"issue/{ticket}", {"fields": {"summary": cut(one_line(title), LONGEST_SUMMARY)}}
            )

    def close(self, ticket: str) -> None:
        """Move a ticket to a status of the category done, by way of others where it must be."""
        self._move(ticket, ("done",), self._settings.done)

    def reopen(self, ticket: str) -> None:
        """Move a ticket that is done to a status of another category."""
        self._move(ticket, ("new", "indeterminate"), ())

    def attach(self, ticket: str, name: str, content: bytes) -> None:
        """Attach a file, unless one of that name is there."""
        with self._session.reporting(f"attach a file to {ticket}"):
            jira = self._session.jira
            there = jira.issue(ticket, fields="attachment").raw["fields"].get("attachment") or []
            if name not in {attachment["filename"] for attachment in there}:
                jira.add_attachment(ticket, io.BytesIO(content), filename=name)

    def _fields_of(self, new: NewTicket) -> dict[str, Any]:
        settings, project = self._settings, self._project(new.place)
        wanted = settings.fault_types if new.kind is TicketKind.FAULT else settings.task_types
        type_id = project.issue_type(wanted)
        screen = project.fields(type_id)
        fields: dict[str, Any] = {
            "project": {"key": new.place},
            "issuetype": {"id": type_id},
            "summary": cut(one_line(new.title), LONGEST_SUMMARY),
            "description": self._document(
                new.story, _ending(new.story, f"{new.label} · {new.marker}"), with_title=False
            ),
            "labels": list(dict.fromkeys(map(_label, (*new.labels, new.label)))),
        }
        component = project.component(type_id, settings.component)
        optional = {
            "priority": project.priority(type_id, new.severity),
            "components": [component] if component else None,
            "assignee": project.account(new.assignee) if new.assignee else None,
        }
        fields |= {name: value for name, value in optional.items() if value and name in screen}
        return fields | self._further(project, type_id, set(fields))

    def _further(self, project: JiraProject, type_id: str, given: set[str]) -> dict[str, Any]:
        """Return the fields that the team file gives; whatever is then still required is an error."""
        known = project.fields(type_id)
        ids = {str(field.get("name", name)): name for name, field in known.items()}
        further = {
            ids.get(name, name): value
            for name, value in self._settings.fields.items()
            if ids.get(name, name) in known
        }
        lacking = [
            label
            for name, label in project.required(type_id).items()
            if name not in further and name not in given
        ]
        if lacking:
            raise SettingsError(
                f"Jira requires {', '.join(lacking)} of a new ticket in {project.key}.",
                "Give a value under trackers.jira.fields in include/team.yaml, or make it optional.",
            )
        return {name: project.value(type_id, name, value) for name, value in further.items()}

    def _document(self, story: Story, ending: str, with_title: bool) -> Any:
        form = adf_document if self._session.is_cloud else wiki_text
        return form(story, ending, with_title)

    def _move(self, ticket: str, categories: tuple[str, ...], best: tuple[str, ...]) -> None:
        """Lead a ticket to a status of one of these categories.

        Raises:
            PermanentError: No transition leads there.
        """
        with self._session.reporting(f"move {ticket}"):
            jira, passed = self._session.jira, set[str]()
            for _ in range(MOST_STEPS):
                status = jira.issue(ticket, fields="status").raw["fields"]["status"]
                if status["statusCategory"]["key"] in categories:
                    return
                passed.add(status["name"])
                chosen = _transition(
                    jira.transitions(ticket, expand="transitions.fields"), categories, best, passed
                )
                if chosen is None:
                    break
                jira.transition_issue(ticket, chosen["id"], fields=_resolution(chosen))
        raise PermanentError(
            f"No transition leads {ticket} to {' or '.join(best or categories)}.",
            "See the project's workflow: this account may lack the permission to use a transition.",
        )

    def _project(self, key: str) -> JiraProject:
        return self._projects.setdefault(key, JiraProject(self._session, key))

    def examine(self, place: str) -> Iterator[Finding]:
        """Look at credentials, project, permissions, issue type, required fields and transitions."""
        try:
            yield from self._examine(place)
        except LastmileError as error:
            yield Finding("request", False, error.headline, error.hint)

    def _examine(self, place: str) -> Iterator[Finding]:
        with self._session.reporting("say who we are"):
            me = self._session.jira.myself()
        sort = "Cloud" if self._session.is_cloud else "Data Center"
        yield Finding("credentials", True, f"{me.get('displayName', 'an account')} on {sort}")
        if not place:
            return
        project = self._project(place)
        types = project.issue_types()
        yield Finding("project", True, f"{place}: {', '.join(types) or 'no issue types'}")
        yield self._permissions(place)
        for wanted in (self._settings.fault_types, self._settings.task_types):
            yield from self._examine_type(project, project.issue_type(wanted))

    def _examine_type(self, project: JiraProject, type_id: str) -> Iterator[Finding]:
        name = next(name for name, known in project.issue_types().items() if known == type_id)
        try:
            self._further(project, type_id, {"priority", "components", "assignee"})
        except SettingsError as error:
            yield Finding(f"fields of {name}", False, error.headline, error.hint)
        else:
            yield Finding(f"fields of {name}", True, "all that is required is given")
        component = self._settings.component
        if component and project.component(type_id, component) is None:
            yield Finding(
                f"component of {name}", False, f"{project.key} has no component {component!r}",
                "Add it to the project, or change trackers.jira.component in include/team.yaml.",
            )  # fmt: skip
        if "labels" not in project.fields(type_id):
            yield Finding(
                f"labels of {name}", False, "a new ticket takes no labels, by which it is found again",
                "Put the field Labels on the project's create screen.",
            )  # fmt: skip

    def _permissions(self, place: str) -> Finding:
        with self._session.reporting(f"say what this account may do in {place}"):
            asked = ",".join((*NEEDED, *HELPFUL)) if self._session.is_cloud else None
            found = self._session.jira.my_permissions(projectKey=place, permissions=asked)
        may = found["permissions"]
        lacks = [p for p in (*NEEDED, *HELPFUL) if not may.get(p, {}).get("havePermission")]
        if not lacks:
            return Finding("permissions", True, f"all that is needed in {place}")
        return Finding(
            "permissions", False, f"this account lacks {', '.join(lacks)} in {place}",
            "Let an administrator of the project grant them to the account of the connection 'jira'.",
        )  # fmt: skip


def _ending(story: Story, marker: str) -> str:
    return f"{story.footer} · {marker}" if story.footer else marker


def _label(text: str) -> str:
    """Jira refuses a label with blanks."""
    return "-".join(text.split())


def _ticket(issue: dict[str, Any]) -> Ticket:
    fields = issue["fields"]
    category = fields["status"]["statusCategory"]["key"]
    return Ticket(
        id=str(issue["key"]),
        title=str(fields.get("summary", "")),
        is_open=category != "done",
        is_touched=category != "new",
    )


def _transition(
    transitions: list[dict[str, Any]],
    categories: tuple[str, ...],
    best: tuple[str, ...],
    passed: set[str],
) -> dict[str, Any] | None:
    """Choose the transition that leads to the best status, else to the category, else a step nearer."""

    def rank(transition: dict[str, Any]) -> tuple[int, int]:
        to = transition["to"]
        name, category = to["name"], to["statusCategory"]["key"]
        by_name = best.index(name) if name in best else len(best)
        by_category = categories.index(category) if category in categories else len(categories)
        return by_category, by_name

    ways = [t for t in transitions if t["to"]["name"] not in passed]
    # From `To Do` a workflow may lead to done by way of `In Progress`, but never by another `done`.
    return min(ways, key=rank, default=None)


def _resolution(transition: dict[str, Any]) -> dict[str, Any] | None:
    """Return the resolution that a transition asks for."""
    field = transition.get("fields", {}).get("resolution")
    if not field or not field.get("allowedValues"):
        return None
    values = {value["name"]: value for value in field["allowedValues"]}
    chosen = next((values[n] for n in ("Done", "Fixed", "Resolved") if n in values), None)
    return {"resolution": {"id": (chosen or field["allowedValues"][0])["id"]}}
