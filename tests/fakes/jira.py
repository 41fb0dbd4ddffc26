"""A strict stand-in for Jira: Cloud's REST API v3, or Data Center's v2, as their published documents have it.

It refuses what the real one refuses: wrong credentials, unknown projects, issue types and fields, fields
that are required and not given, a summary that is too long or has line breaks, labels with blanks,
descriptions in the other one's format, JQL it cannot read, transitions that do not start here,
attachments without the header against forgery. Its search can lag behind.
"""

import base64
import email
import email.policy
import json
import re
import time
from collections.abc import Callable  # noqa: TC003
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from fakes.service import Answer, Asked, FakeService, RefusedError

TOKEN = "jira-t0ken/with=signs"
API = "/rest/api/3/"
PRIORITIES = ("Highest", "High", "Medium", "Low", "Lowest")
CATEGORIES = {"To Do": "new", "In Progress": "indeterminate", "Done": "done", "Won't Do": "done"}
WORKFLOWS = {
    # By way of `In Progress`, with a resolution at the end.
    "RISK": {
        "To Do": ["In Progress"],
        "In Progress": ["Won't Do", "Done", "To Do"],
        "Done": ["In Progress", "To Do"],
        "Won't Do": ["To Do"],
    },
    "OPS": {status: [to for to in CATEGORIES if to != status] for status in CATEGORIES},
}
PERMISSIONS = {
    "BROWSE_PROJECTS", "CREATE_ISSUES", "EDIT_ISSUES", "ADD_COMMENTS", "TRANSITION_ISSUES",
    "CREATE_ATTACHMENTS", "ASSIGN_ISSUES",
}  # fmt: skip
PEOPLE = {"ada@example.org": "5b-ada", "bob@example.org": "5b-bob"}
"""Who may be assigned issues: e-mail address and account."""


@dataclass
class Ticket:
    id: str
    key: str
    fields: dict[str, Any]
    created: float
    status: str = "To Do"
    comments: list[dict[str, Any]] = field(default_factory=list)
    attachments: dict[str, bytes] = field(default_factory=dict)
    history: list[str] = field(default_factory=list)
    """The statuses it was moved to."""


class FakeJira(FakeService):
    """Projects RISK (software: Sub-task, Epic, Task, Bug) and OPS (Task only)."""

    def __init__(
        self, email: str = "bot@example.org", token: str = TOKEN, is_cloud: bool = True
    ) -> None:
        super().__init__()
        self.email, self.token, self.is_cloud = email, token, is_cloud
        self.api = API if is_cloud else "/rest/api/2/"
        self.lag_seconds = 0.0
        """How long a new ticket stays unknown to the search."""
        self.clock: Callable[[], float] = time.monotonic
        self.tickets: list[Ticket] = []
        self.projects = {
            "RISK": [
                ("10001", "Sub-task", True),
                ("10000", "Epic", False),
                ("10002", "Task", False),
                ("10003", "Bug", False),
            ],
            "OPS": [("10002", "Task", False)],
        }
        self.components = {"RISK": ["models"], "OPS": []}
        self.required: dict[str, list[str]] = {"RISK": [], "OPS": []}
        """Options of the field `Team`, which a new issue of the project then needs."""
        self.permissions = set(PERMISSIONS)
        self.hides_addresses = is_cloud
        """As people on Cloud may choose."""

    @property
    def connection_url(self) -> str:
        if not self.is_cloud:
            return f"http://:{quote(self.token, safe='')}@127.0.0.1:{self.port}"
        user = f"{quote(self.email, safe='')}:{quote(self.token, safe='')}"
        return f"http://{user}@127.0.0.1:{self.port}"

    def answer(self, asked: Asked) -> Answer:
        if asked.path in {f"{self.api}serverInfo", "/rest/api/2/serverInfo"}:  # open to everybody
            return self._server_info()
        self._check_account(asked)
        if not asked.path.startswith(self.api):
            raise _refused(404, "No such resource.")
        path = asked.path.removeprefix(self.api)
        if match := re.fullmatch(r"issue/([A-Z]+-\d+)(/\w+)?", path):
            return self._answer_on_issue(self._ticket(match[1]), match[2] or "", asked)
        if match := re.fullmatch(r"issue/createmeta/(\w+)/issuetypes/(\d+)", path):
            return self._create_meta(match[1], match[2], asked)
        if match := re.fullmatch(r"project/(\w+)", path):
            return self._project(match[1])
        if path == "search" and self.is_cloud:
            raise _refused(
                410, "The requested API has been removed. Please migrate to /rest/api/3/search/jql"
            )
        routes = {("GET", "field"): self._fields, ("POST", "issue"): self._create,
                  ("GET", "search/jql" if self.is_cloud else "search"): self._search,
                  ("GET", "myself"): self._myself, ("GET", "mypermissions"): self._my_permissions,
                  ("GET", "user/assignable/search"): self._assignable}  # fmt: skip
        if (route := routes.get((asked.method, path))) is None:
            raise _refused(405 if path in {p for _, p in routes} else 404, "No such resource.")
        return route(asked)

    def _answer_on_issue(self, ticket: Ticket, part: str, asked: Asked) -> Answer:
        routes = {
            ("GET", ""): lambda: Answer(200, self._shown(ticket)),
            ("PUT", ""): lambda: self._edit(ticket, asked),
            ("GET", "/comment"): lambda: self._comments(ticket),
            ("POST", "/comment"): lambda: self._comment(ticket, asked),
            ("GET", "/transitions"): lambda: Answer(
                200, {"transitions": self._transitions(ticket)}
            ),
            ("POST", "/transitions"): lambda: self._move(ticket, asked),
            ("POST", "/attachments"): lambda: self._attach(ticket, asked),
        }
        if (route := routes.get((asked.method, part))) is None:
            raise _refused(405, "Method Not Allowed")
        return route()

    def _server_info(self) -> Answer:
        version = [1001, 0, 0] if self.is_cloud else [10, 3, 2]
        return Answer(200, {"baseUrl": "http://127.0.0.1", "versionNumbers": version,
                            "deploymentType": "Cloud" if self.is_cloud else "Server",
                            "version": ".".join(map(str, version))})  # fmt: skip

    def _check_account(self, asked: Asked) -> None:
        given = asked.headers.get("authorization", "")
        right = base64.b64encode(f"{self.email}:{self.token}".encode()).decode()
        if given != (f"Basic {right}" if self.is_cloud else f"Bearer {self.token}"):
            raise RefusedError(
                Answer(401, b"Client must be authenticated to access this resource.")
            )

    def _need(self, permission: str) -> None:
        if permission not in self.permissions:
            raise _refused(403, f"You do not have the permission {permission}.")

    def _myself(self, _asked: Asked) -> Answer:
        return Answer(200, {"accountId": "5b10", "name": "bot", "displayName": "Lastmile Bot"})

    def _my_permissions(self, asked: Asked) -> Answer:
        if self.is_cloud and not asked.query.get("permissions"):
            raise _refused(400, "The 'permissions' query parameter is required.")
        self._known_project(asked.query.get("projectKey", "RISK"))
        names = PERMISSIONS | self.permissions
        return Answer(
            200,
            {
                "permissions": {
                    n: {"key": n, "havePermission": n in self.permissions} for n in names
                }
            },
        )

    def _assignable(self, asked: Asked) -> Answer:
        key = "query" if self.is_cloud else "username"
        if set(asked.query) - {key, "project", "maxResults", "startAt"} or key not in asked.query:
            raise _refused(400, "Unknown parameters.")
        self._known_project(asked.query.get("project", ""))
        found = [
            {"accountId": account} if self.is_cloud else {"name": account, "key": account}
            for address, account in PEOPLE.items()
            if asked.query[key] in address
        ]
        if not self.hides_addresses:
            addresses = {account: address for address, account in PEOPLE.items()}
            found = [u | {"emailAddress": addresses[next(iter(u.values()))]} for u in found]
        return Answer(200, found)

    def _fields(self, _asked: Asked) -> Answer:
        names = sorted(FIELDS)
        return Answer(
            200, [{"id": n, "key": n, "name": n.title(), "clauseNames": [n]} for n in names]
        )

    def _known_project(self, key: str) -> None:
        if key not in self.projects:
            raise _refused(404, f"No project could be found with key '{key}'.")

    def _project(self, key: str) -> Answer:
        self._known_project(key)
        types = [
            {"id": i, "name": n, "subtask": s, "hierarchyLevel": -1 if s else int(n == "Epic")}
            for i, n, s in self.projects[key]
        ]
        return Answer(200, {"id": "10000", "key": key, "name": key, "issueTypes": types})

    def _create_meta(self, project: str, type_id: str, asked: Asked) -> Answer:
        """Three fields a page, so that whoever reads only the first one is found out."""
        self._known_project(project)
        if type_id not in {i for i, _, _ in self.projects[project]}:
            raise _refused(404, "Issue type not found.")
        fields = [
            {"fieldId": name, "key": name, "name": name.title(), "required": name in MUST,
             "hasDefaultValue": False, "schema": {"type": "string", "system": name}}
            | self._allowed(project, name)
            for name in sorted(FIELDS)
        ]  # fmt: skip
        if self.required[project]:
            options = [
                {"id": str(70 + n), "value": v} for n, v in enumerate(self.required[project])
            ]
            fields.append(
                {"fieldId": TEAM, "key": TEAM, "name": "Team", "required": True,
                 "hasDefaultValue": False, "schema": {"type": "option", "customId": 10050},
                 "allowedValues": options}
            )  # fmt: skip
        start = int(asked.query.get("startAt", 0))
        key = "fields" if self.is_cloud else "values"
        page = {
            "startAt": start,
            "maxResults": 3,
            "total": len(fields),
            key: fields[start : start + 3],
        }
        return Answer(200, page | ({} if self.is_cloud else {"isLast": start + 3 >= len(fields)}))

    def _allowed(self, project: str, name: str) -> dict[str, Any]:
        if name == "priority":
            return {
                "allowedValues": [{"id": str(n + 1), "name": p} for n, p in enumerate(PRIORITIES)]
            }
        if name == "components":
            options = [
                {"id": str(500 + n), "name": c} for n, c in enumerate(self.components[project])
            ]
            return {"allowedValues": options, "schema": {"type": "array", "items": "component"}}
        return {}

    def _create(self, asked: Asked) -> Answer:
        self._need("CREATE_ISSUES")
        body = _json(asked)
        if set(body) - {"fields", "update", "properties", "transition", "historyMetadata"}:
            raise _refused(400, "Unrecognized field in the request.")
        fields = body.get("fields", {})
        errors = self._faults(fields)
        if errors:
            raise RefusedError(Answer(400, {"errorMessages": [], "errors": errors}))
        project = fields["project"]["key"]
        number = 1 + sum(t.key.startswith(f"{project}-") for t in self.tickets)
        ticket = Ticket(str(20000 + len(self.tickets)), f"{project}-{number}", fields, self.clock())
        self.tickets.append(ticket)
        link = f"http://127.0.0.1:{self.port}{self.api}issue/{ticket.id}"
        return Answer(201, {"id": ticket.id, "key": ticket.key, "self": link})

    def _edit(self, ticket: Ticket, asked: Asked) -> Answer:
        self._need("EDIT_ISSUES")
        body = _json(asked)
        fields = body.get("fields", {})
        if set(body) - {"fields", "update"} or set(fields) - {"summary", "labels", "priority"}:
            raise _refused(400, "Unrecognized field in the request.")
        if "summary" in fields and (fault := _summary_fault(fields["summary"])):
            raise RefusedError(Answer(400, {"errorMessages": [], "errors": {"summary": fault}}))
        ticket.fields |= fields
        return Answer(204)

    def _faults(self, fields: dict[str, Any]) -> dict[str, str]:
        project = (fields.get("project") or {}).get("key")
        if project not in self.projects:
            return {"project": "valid project is required"}
        known = FIELDS | ({TEAM} if self.required[project] else set())
        errors = {
            name: f"Field '{name}' cannot be set. It is not on the appropriate screen, or unknown."
            for name in set(fields) - known
        }
        if self.required[project] and not str((fields.get(TEAM) or {}).get("id", "")).startswith(
            "7"
        ):
            errors[TEAM] = "Team is required."
        if (fields.get("issuetype") or {}).get("id") not in {
            i for i, _, _ in self.projects[project]
        }:
            errors["issuetype"] = "Specify a valid issue type"
        return errors | self._faults_of_values(project, fields)

    def _faults_of_values(self, project: str, fields: dict[str, Any]) -> dict[str, str]:
        priorities = {str(n + 1) for n in range(len(PRIORITIES))}
        components = {str(500 + n) for n in range(len(self.components[project]))}
        account = (fields.get("assignee") or {}).get("accountId" if self.is_cloud else "name")
        faults = {
            "summary": _summary_fault(fields.get("summary")),
            "description": self._text_fault(fields.get("description"))
            if "description" in fields
            else None,
            "labels": _labels_fault(fields.get("labels", [])),
            "priority": None
            if "priority" not in fields or fields["priority"].get("id") in priorities
            else "Specify a valid value for priority",
            "components": None
            if all(c.get("id") in components for c in fields.get("components", []))
            else "Component is not valid",
            "assignee": None
            if "assignee" not in fields or account in PEOPLE.values()
            else "User does not exist.",
        }
        return {name: fault for name, fault in faults.items() if fault}

    def _text_fault(self, text: Any) -> str | None:
        if self.is_cloud:
            return document_fault(text)
        if not isinstance(text, str):
            return "Operation value must be a string"
        return "The entered text is too long." if len(text) > 32767 else None

    def _comment(self, ticket: Ticket, asked: Asked) -> Answer:
        self._need("ADD_COMMENTS")
        body = _json(asked)
        if set(body) - {"body", "visibility", "properties"}:
            raise _refused(400, "Unrecognized field in the request.")
        if fault := self._text_fault(body.get("body")):
            raise RefusedError(Answer(400, {"errorMessages": [], "errors": {"comment": fault}}))
        ticket.comments.append({"id": str(30000 + len(ticket.comments)), "body": body["body"]})
        return Answer(201, ticket.comments[-1])

    def _comments(self, ticket: Ticket) -> Answer:
        newest_first = ticket.comments[::-1]
        return Answer(
            200,
            {"startAt": 0, "maxResults": 100, "total": len(newest_first), "comments": newest_first},
        )

    def _transitions(self, ticket: Ticket) -> list[dict[str, Any]]:
        if "TRANSITION_ISSUES" not in self.permissions:
            return []  # as the real one does: none is offered
        resolutions = [{"id": "1", "name": "Won't Do"}, {"id": "2", "name": "Done"}]
        project = ticket.key.split("-")[0]
        found = []
        for to in WORKFLOWS[project][ticket.status]:
            needs = project == "RISK" and CATEGORIES[to] == "done"
            screen = (
                {"resolution": {"required": True, "allowedValues": resolutions}} if needs else {}
            )
            found.append(
                {"id": str(10 + list(CATEGORIES).index(to)), "name": f"Move to {to}", "fields": screen,
                 "to": {"name": to, "statusCategory": {"key": CATEGORIES[to]}}}
            )  # fmt: skip
        return found

    def _move(self, ticket: Ticket, asked: Asked) -> Answer:
        body = _json(asked)
        if set(body) - {"transition", "fields", "update"}:
            raise _refused(400, "Unrecognized field in the request.")
        wanted = str(body.get("transition", {}).get("id"))
        chosen = next((t for t in self._transitions(ticket) if t["id"] == wanted), None)
        if chosen is None:
            raise _refused(400, f"It seems that you have tried to perform a workflow operation ({wanted}) "
                                "that is not valid for the current state of this issue.")  # fmt: skip
        given = body.get("fields") or {}
        if set(given) - set(chosen["fields"]):
            raise _refused(
                400, "Field cannot be set. It is not on the appropriate screen, or unknown."
            )
        if chosen["fields"] and given.get("resolution", {}).get("id") not in {"1", "2"}:
            raise RefusedError(Answer(400, {"errors": {"resolution": "Resolution is required."}}))
        ticket.status = chosen["to"]["name"]
        ticket.history.append(ticket.status)
        return Answer(204)

    def _attach(self, ticket: Ticket, asked: Asked) -> Answer:
        self._need("CREATE_ATTACHMENTS")
        if asked.headers.get("x-atlassian-token") != "no-check":
            raise RefusedError(Answer(403, b"XSRF check failed"))
        head = f"Content-Type: {asked.headers.get('content-type', '')}\r\n\r\n".encode()
        message = email.message_from_bytes(head + asked.body, policy=email.policy.HTTP)
        if not message.is_multipart():
            raise _refused(415, "Unsupported Media Type")
        added = []
        for part in message.iter_parts():
            if part.get_param("name", header="content-disposition") != "file":
                raise _refused(400, "The part must be called file.")
            content = part.get_payload(decode=True)
            assert isinstance(content, bytes)
            name = part.get_filename() or ""
            ticket.attachments[name] = content
            added.append({"id": "1", "filename": name, "size": len(content), "self": "http://x"})
        return Answer(200, added)

    def _search(self, asked: Asked) -> Answer:
        allowed = {"jql", "nextPageToken", "maxResults", "fields", "expand", "properties", "fieldsByKeys",
                   "failFast", "reconcileIssues"}  # fmt: skip
        if not self.is_cloud:
            allowed = {"jql", "startAt", "maxResults", "validateQuery", "fields", "expand"}
        if unknown := set(asked.query) - allowed:
            raise _refused(400, f"Unknown parameters: {sorted(unknown)}")
        match = re.fullmatch(
            r'project = "((?:[^"\\]|\\.)*)" AND labels = "((?:[^"\\]|\\.)*)" ORDER BY created DESC',
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
            and self.clock() - t.created >= self.lag_seconds
        ]
        count = int(asked.query.get("maxResults", 50))
        issues = [self._shown(t) for t in seen[:count]]
        page = (
            {"isLast": len(seen) <= count} if self.is_cloud else {"startAt": 0, "total": len(seen)}
        )
        return Answer(200, {"issues": issues} | page)

    def _ticket(self, key: str) -> Ticket:
        for ticket in self.tickets:
            if ticket.key == key:
                return ticket
        raise _refused(404, "Issue does not exist or you do not have permission to see it.")

    def _shown(self, ticket: Ticket) -> dict[str, Any]:
        status = {"name": ticket.status, "statusCategory": {"key": CATEGORIES[ticket.status]}}
        attachments = [{"filename": name} for name in ticket.attachments]
        return {
            "id": ticket.id,
            "key": ticket.key,
            "self": f"http://127.0.0.1:{self.port}{self.api}issue/{ticket.id}",
            "fields": ticket.fields | {"status": status, "attachment": attachments},
        }


FIELDS = {
    "project",
    "issuetype",
    "summary",
    "description",
    "labels",
    "priority",
    "components",
    "duedate",
    "assignee",
}
"""What the create screen of these projects takes."""
MUST = {"project", "issuetype", "summary"}
TEAM = "customfield_10050"


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
