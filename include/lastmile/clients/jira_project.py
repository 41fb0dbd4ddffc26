"""What a Jira project is like: its issue types, the fields that a new issue takes, its people.

All of it is discovered and kept for the life of the process; nobody types in an id.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lastmile.clients.tracker import Severity
from lastmile.errors import PermanentError, SettingsError

if TYPE_CHECKING:
    from lastmile.clients.jira_session import JiraSession

PRIORITIES = {
    Severity.CRITICAL: ("Highest", "Blocker", "Critical"),
    Severity.HIGH: ("High", "Critical", "Major"),
    Severity.MEDIUM: ("Medium", "Normal", "Major"),
    Severity.LOW: ("Low", "Minor", "Lowest", "Trivial"),
}
"""The priorities that fit, the best first: sites name theirs as they like."""

ALWAYS_GIVEN = frozenset({"project", "issuetype", "summary", "description", "labels", "reporter"})
"""Required fields that we give, or that Jira fills in with who asks."""


class JiraProject:
    """One project."""

    def __init__(self, session: "JiraSession", key: str) -> None:
        self._session = session
        self.key = key
        self._types: dict[str, str] = {}
        self._fields: dict[str, dict[str, dict[str, Any]]] = {}
        self._people: dict[str, str | None] = {}

    def issue_type(self, wanted: Sequence[str]) -> str:
        """Return the id of the first wanted issue type that the project has, else of any.

        Raises:
            PermanentError: It has none for tickets.
            LastmileError: As `JiraSession.reporting` says.
        """
        types = self.issue_types()
        if not types:
            raise PermanentError(
                f"The Jira project {self.key} has no issue type for tickets.",
                "Give the project an issue type, or name another under team.tracker.",
            )
        return next((types[name] for name in wanted if name in types), next(iter(types.values())))

    def issue_types(self) -> dict[str, str]:
        """Return the ids of the project's issue types by name, without sub-tasks and epics."""
        if not self._types:
            with self._session.reporting(f"read the project {self.key}"):
                found = self._session.jira.project(self.key).raw["issueTypes"]
            self._types = {
                t["name"]: t["id"]
                for t in found
                if not t["subtask"] and t.get("hierarchyLevel", 0) == 0
            }
        return self._types

    def fields(self, issue_type: str) -> dict[str, dict[str, Any]]:
        """Return what Jira says of the fields of a new issue of this type, by the field's id."""
        if issue_type not in self._fields:
            path = f"issue/createmeta/{self.key}/issuetypes/{issue_type}"
            found: dict[str, dict[str, Any]] = {}
            with self._session.reporting(f"read the fields of the project {self.key}"):
                page = {"isLast": False, "total": 1}
                while not page.get("isLast", len(found) >= int(page.get("total", 0))):
                    page = self._session.get(path, startAt=len(found), maxResults=50)
                    fields = page.get("fields", page.get("values", []))  # Cloud, Data Center
                    found |= {field.get("fieldId", field.get("key", "")): field for field in fields}
                    if not fields:
                        break
            self._fields[issue_type] = found
        return self._fields[issue_type]

    def priority(self, issue_type: str, severity: Severity) -> dict[str, str] | None:
        """Return the priority that fits, or None where the project has none."""
        return self._allowed(issue_type, "priority", PRIORITIES[severity])

    def component(self, issue_type: str, name: str) -> dict[str, str] | None:
        """Return a component by name, or None where the project has no such component."""
        return self._allowed(issue_type, "components", (name,))

    def required(self, issue_type: str) -> dict[str, str]:
        """Return the fields, id and name, that a new issue needs beyond what we always give."""
        return {
            name: str(field.get("name", name))
            for name, field in self.fields(issue_type).items()
            if field.get("required")
            and not field.get("hasDefaultValue")
            and name not in ALWAYS_GIVEN
        }

    def value(self, issue_type: str, field_id: str, given: str) -> Any:
        """Return a value as a field takes it: people write an option's name, Jira wants its id.

        Raises:
            SettingsError: The field has no such option.
        """
        field = self.fields(issue_type)[field_id]
        schema = field.get("schema", {})
        options = field.get("allowedValues")
        value: Any = given
        if options is not None:
            found = next((o for o in options if given in {o.get("value"), o.get("name")}), None)
            if found is None:
                names = ", ".join(str(o.get("value", o.get("name"))) for o in options[:20])
                raise SettingsError(
                    f"The field {field.get('name', field_id)!r} of {self.key} has no option {given!r}.",
                    f"It has: {names}. trackers.jira.fields in include/team.yaml names it.",
                )
            value = {"id": found["id"]}
        elif schema.get("type") == "number":
            value = float(given)
        return [value] if schema.get("type") == "array" else value

    def account(self, person: str) -> dict[str, str] | None:
        """Return the account of somebody who may be assigned issues here, or None.

        Args:
            person: An e-mail address or a user's name.
        """
        if person not in self._people:
            self._people[person] = self._find_account(person)
        found = self._people[person]
        return {"accountId" if self._session.is_cloud else "name": found} if found else None

    def _find_account(self, person: str) -> str | None:
        key = "query" if self._session.is_cloud else "username"
        with self._session.reporting(f"look for a user in {self.key}"):
            found = self._session.get(
                "user/assignable/search", project=self.key, maxResults=20, **{key: person}
            )
        exact = [
            u
            for u in found
            if person in {u.get("emailAddress"), u.get("name"), u.get("displayName")}
        ]
        # Cloud finds by e-mail address but may hide it: then the only one found is the one.
        chosen = exact[0] if exact else found[0] if len(found) == 1 else None
        return str(chosen["accountId" if self._session.is_cloud else "name"]) if chosen else None

    def _allowed(self, issue_type: str, field: str, names: Sequence[str]) -> dict[str, str] | None:
        options = self.fields(issue_type).get(field, {}).get("allowedValues", [])
        ids = {option["name"]: option["id"] for option in options}
        found = next((ids[name] for name in names if name in ids), None)
        return {"id": found} if found else None
