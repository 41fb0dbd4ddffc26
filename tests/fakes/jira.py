"""A strict stand-in for Jira Cloud: REST API v3 as its published documents have it.

It refuses what the real one refuses: wrong credentials, unknown projects, issue types and fields, a
summary that is too long or has line breaks, labels with blanks, descriptions that are no Atlassian
document, JQL it cannot read. Its search can lag behind.
"""

import base64
import json
import re
import time
from dataclasses import dataclass, field
from typing import Any

from fakes.service import Answer, Asked, FakeService, RefusedError

TOKEN = "jira-t0ken/with=signs"
API = "/rest/api/3/"
FIELDS = {
    "project",
    "issuetype",
    "summary",
    "description",
    "labels",
    "priority",
    "components",
    "duedate",
}
"""What the create screen of these projects takes."""


@dataclass
class Ticket:
    id: str
    key: str
    fields: dict[str, Any]
    created: float
    status: str = "To Do"
    comments: list[dict[str, Any]] = field(default_factory=list)


class FakeJira(FakeService):
    """Projects RISK (software: Bug, Task, Sub-task) and OPS (Task only)."""

    def __init__(self, email: str = "bot@example.org", token: str = TOKEN) -> None:
        super().__init__()
        self.email, self.token = email, token
        self.lag_seconds = 0.0
        """How long a new ticket stays unknown to the search."""
        self.tickets: list[Ticket] = []
        self.projects = {
            "RISK": [
                ("10001", "Sub-task", True),
                ("10002", "Task", False),
                ("10003", "Bug", False),
            ],
            "OPS": [("10002", "Task", False)],
        }

    @property
    def connection_url(self) -> str:
        from urllib.parse import quote

        user = f"{quote(self.email, safe='')}:{quote(self.token, safe='')}"
        return f"http://{user}@127.0.0.1:{self.port}"

    def answer(self, asked: Asked) -> Answer:
        if asked.path == f"{API}serverInfo":  # open to everybody
            return Answer(200, {"baseUrl": "http://127.0.0.1", "versionNumbers": [1001, 0, 0],
                                "deploymentType": "Cloud", "version": "1001.0.0-SNAPSHOT"})  # fmt: skip
        self._check_account(asked)
        if not asked.path.startswith(API):
            raise _refused(404, "No such resource.")
        path = asked.path.removeprefix(API)
        if match := re.fullmatch(r"issue/([A-Z]+-\d+)/comment", path):
            ticket = self._ticket(match[1])
            return (
                self._comment(ticket, asked) if asked.method == "POST" else self._comments(ticket)
            )
        if match := re.fullmatch(r"issue/([A-Z]+-\d+)", path):
            return Answer(200, _shown(self._ticket(match[1])))
        if match := re.fullmatch(r"project/(\w+)", path):
            return self._project(match[1])
        routes = {("GET", "field"): self._fields, ("GET", "search/jql"): self._search,
                  ("POST", "issue"): self._create, ("GET", "myself"): self._myself}  # fmt: skip
        if (route := routes.get((asked.method, path))) is None:
            raise _refused(405 if path in {p for _, p in routes} else 404, "No such resource.")
        return route(asked)

    def _check_account(self, asked: Asked) -> None:
        given = asked.headers.get("authorization", "")
        right = base64.b64encode(f"{self.email}:{self.token}".encode()).decode()
        if given != f"Basic {right}":
            raise RefusedError(
                Answer(401, b"Client must be authenticated to access this resource.")
            )

    def _myself(self, _asked: Asked) -> Answer:
        return Answer(200, {"accountId": "5b10", "emailAddress": self.email})

    def _fields(self, _asked: Asked) -> Answer:
        names = sorted(FIELDS)
        return Answer(
            200, [{"id": n, "key": n, "name": n.title(), "clauseNames": [n]} for n in names]
        )

    def _project(self, key: str) -> Answer:
        if key not in self.projects:
            raise _refused(404, f"No project could be found with key '{key}'.")
        types = [{"id": i, "name": n, "subtask": s} for i, n, s in self.projects[key]]
        return Answer(200, {"id": "10000", "key": key, "name": key, "issueTypes": types})

    def _create(self, asked: Asked) -> Answer:
        body = _json(asked)
        if set(body) - {"fields", "update", "properties", "transition", "historyMetadata"}:
            raise _refused(400, "Unrecognized field in the request.")
        fields = body.get("fields", {})
        errors = self._faults(fields)
        if errors:
            raise RefusedError(Answer(400, {"errorMessages": [], "errors": errors}))
        project = fields["project"]["key"]
        number = 1 + sum(t.key.startswith(f"{project}-") for t in self.tickets)
        ticket = Ticket(
            str(20000 + len(self.tickets)), f"{project}-{number}", fields, time.monotonic()
        )
        self.tickets.append(ticket)
        link = f"http://127.0.0.1/rest/api/3/issue/{ticket.id}"
        return Answer(201, {"id": ticket.id, "key": ticket.key, "self": link})

    def _faults(self, fields: dict[str, Any]) -> dict[str, str]:
        errors = {
            name: f"Field '{name}' cannot be set. It is not on the appropriate screen, or unknown."
            for name in set(fields) - FIELDS
        }
        project = (fields.get("project") or {}).get("key")
        if project not in self.projects:
            return errors | {"project": "valid project is required"}
        types = {i for i, _, _ in self.projects[project]}
        if (fields.get("issuetype") or {}).get("id") not in types:
            errors["issuetype"] = "Specify a valid issue type"
        if fault := _summary_fault(fields.get("summary")):
            errors["summary"] = fault
        if "description" in fields and (fault := document_fault(fields["description"])):
            errors["description"] = fault
        if fault := _labels_fault(fields.get("labels", [])):
            errors["labels"] = fault
        return errors

    def _comment(self, ticket: Ticket, asked: Asked) -> Answer:
        body = _json(asked)
        if set(body) - {"body", "visibility", "properties"}:
            raise _refused(400, "Unrecognized field in the request.")
        if fault := document_fault(body.get("body")):
            raise RefusedError(Answer(400, {"errorMessages": [], "errors": {"comment": fault}}))
        ticket.comments.append({"id": str(30000 + len(ticket.comments)), "body": body["body"]})
        return Answer(201, ticket.comments[-1])

    def _comments(self, ticket: Ticket) -> Answer:
        newest_first = ticket.comments[::-1]
        return Answer(
            200,
            {"startAt": 0, "maxResults": 100, "total": len(newest_first), "comments": newest_first},
        )

    def _search(self, asked: Asked) -> Answer:
        allowed = {"jql", "nextPageToken", "maxResults", "fields", "expand", "properties", "fieldsByKeys",
                   "failFast", "reconcileIssues"}  # fmt: skip
        if unknown := set(asked.query) - allowed:
            raise _refused(400, f"Unknown parameters: {sorted(unknown)}")
        match = re.fullmatch(
            r'project = "((?:[^"\\]|\\.)*)" AND labels = "((?:[^"\\]|\\.)*)"'
            r"(?P<open> AND statusCategory != Done)?( ORDER BY created DESC)?",
            asked.query.get("jql", ""),
        )
        if match is None:
            raise _refused(400, "Error in the JQL Query.")
        if match[1] not in self.projects:
            raise _refused(400, f"The value '{match[1]}' does not exist for the field 'project'.")
        seen = [
            t
            for t in reversed(self.tickets)
            if t.key.startswith(f"{match[1]}-")
            and match[2] in t.fields.get("labels", [])
            and not (match["open"] and t.status == "Done")
            and time.monotonic() - t.created >= self.lag_seconds
        ]
        count = int(asked.query.get("maxResults", 50))
        return Answer(
            200, {"issues": [_shown(t) for t in seen[:count]], "isLast": len(seen) <= count}
        )

    def _ticket(self, key: str) -> Ticket:
        for ticket in self.tickets:
            if ticket.key == key:
                return ticket
        raise _refused(404, "Issue does not exist or you do not have permission to see it.")


def _shown(ticket: Ticket) -> dict[str, Any]:
    category = {"key": "done" if ticket.status == "Done" else "new"}
    return {
        "id": ticket.id,
        "key": ticket.key,
        "self": "http://127.0.0.1/x",
        "fields": ticket.fields | {"status": {"name": ticket.status, "statusCategory": category}},
    }


def _json(asked: Asked) -> dict[str, Any]:
    if not asked.headers.get("content-type", "").startswith("application/json"):
        raise _refused(415, "Unsupported Media Type")
    try:
        body = json.loads(asked.body)
    except ValueError:
        raise _refused(400, "There was an error parsing JSON.") from None
    if not isinstance(body, dict):
        raise _refused(400, "INVALID_INPUT")
    return body


def _refused(status: int, message: str) -> RefusedError:
    return RefusedError(Answer(status, {"errorMessages": [message], "errors": {}}))


def _summary_fault(summary: Any) -> str | None:
    if not isinstance(summary, str) or not summary.strip():
        return "You must specify a summary of the issue."
    if len(summary) > 255:
        return "Summary must be less than 255 characters."
    if "\n" in summary or "\r" in summary:
        return "The summary is invalid because it contains newline characters."
    return None


def _labels_fault(labels: Any) -> str | None:
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        return "data was not an array of strings"
    for label in labels:
        if not label or re.search(r"\s", label):
            return f"The label '{label}' contains spaces which is invalid."
        if len(label) > 255:
            return f"The label '{label}' exceeds the maximum length for a single label of 255 characters."
    return None


# Atlassian's document format: https://developer.atlassian.com/cloud/jira/platform/apis/document/structure/
_BLOCKS = {
    "paragraph",
    "heading",
    "bulletList",
    "orderedList",
    "codeBlock",
    "rule",
    "blockquote",
    "panel",
}
_CHILDREN = {
    "doc": _BLOCKS, "paragraph": {"text", "hardBreak"}, "heading": {"text", "hardBreak"},
    "bulletList": {"listItem"}, "orderedList": {"listItem"}, "codeBlock": {"text"}, "rule": set(),
    "blockquote": {"paragraph"}, "panel": {"paragraph", "heading", "bulletList", "orderedList"},
    "listItem": {"paragraph", "bulletList", "orderedList", "codeBlock"}, "hardBreak": set(),
}  # fmt: skip
_MAY_BE_EMPTY = {"paragraph", "heading", "codeBlock", "rule", "hardBreak", "doc"}
_ATTRIBUTES = {"heading": {"level"}, "codeBlock": {"language"}, "panel": {"panelType"}}


def document_fault(document: Any) -> str | None:
    """Say what is wrong with a document, or None."""
    if (
        not isinstance(document, dict)
        or document.get("type") != "doc"
        or document.get("version") != 1
    ):
        return "Operation value must be an Atlassian Document (see the Atlassian Document Format)"
    if len(json.dumps(document)) > 32767:
        return "The entered text is too long. It exceeds the allowed limit of 32,767 characters."
    return _node_fault({k: v for k, v in document.items() if k != "version"})


def _node_fault(node: Any) -> str | None:
    if not isinstance(node, dict):
        return "INVALID_INPUT"
    kind = node.get("type")
    if kind == "text":
        return _text_fault(node)
    if kind not in _CHILDREN or set(node) - {"type", "content", "attrs"}:
        return f"INVALID_INPUT: {kind}"
    if set(node.get("attrs", {})) - _ATTRIBUTES.get(kind, set()):
        return f"INVALID_INPUT: attributes of {kind}"
    if kind == "heading" and node.get("attrs", {}).get("level") not in range(1, 7):
        return "INVALID_INPUT: level"
    content = node.get("content", [])
    if not content and kind not in _MAY_BE_EMPTY:
        return f"INVALID_INPUT: empty {kind}"
    for child in content:
        if not isinstance(child, dict) or child.get("type") not in _CHILDREN[kind]:
            return f"INVALID_INPUT: {child} in {kind}"
        if fault := _node_fault(child):
            return fault
    return None


def _text_fault(node: dict[str, Any]) -> str | None:
    if (
        set(node) - {"type", "text", "marks"}
        or not isinstance(node.get("text"), str)
        or not node["text"]
    ):
        return "INVALID_INPUT: text"
    for mark in node.get("marks", []):
        if mark.get("type") == "link":
            if set(mark.get("attrs", {})) - {"href", "title"} or not mark["attrs"].get("href"):
                return "INVALID_INPUT: link"
        elif mark not in ({"type": "strong"}, {"type": "em"}, {"type": "code"}):
            return "INVALID_INPUT: mark"
    return None
