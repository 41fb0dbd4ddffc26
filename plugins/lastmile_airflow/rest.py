"""Airflow's REST API, as far as the demo and the sweep use it. Never the metadata database."""

from typing import Any

import httpx

from lastmile.errors import PermanentError, ServiceUnavailableError, SettingsError

SECONDS = 20.0
FINAL = frozenset({"success", "failed"})


class AirflowRest:
    """One login to one Airflow."""

    def __init__(self, address: str, user: str, password: str) -> None:
        """Log in.

        Raises:
            ServiceUnavailableError: Airflow does not answer.
            SettingsError: It refuses user or password.
        """
        self._client = httpx.Client(base_url=address, timeout=SECONDS)
        token = self._ask("POST", "/auth/token", json={"username": user, "password": password})
        self._client.headers["Authorization"] = f"Bearer {token['access_token']}"

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def dags(self) -> list[dict[str, Any]]:
        """Return all DAGs that Airflow has parsed."""
        return list(self._ask("GET", "/api/v2/dags?limit=1000")["dags"])

    def import_errors(self) -> list[dict[str, Any]]:
        """Return the DAG files that could not be imported."""
        return list(self._ask("GET", "/api/v2/importErrors")["import_errors"])

    def unpause(self, dag_id: str) -> None:
        """Switch a DAG on."""
        self._ask("PATCH", f"/api/v2/dags/{dag_id}", json={"is_paused": False})

    def trigger(self, dag_id: str, conf: dict[str, Any]) -> str:
        """Start a run; returns its id."""
        run = self._ask(
            "POST", f"/api/v2/dags/{dag_id}/dagRuns", json={"logical_date": None, "conf": conf}
        )
        return str(run["dag_run_id"])

    def run(self, dag_id: str, run_id: str) -> dict[str, Any]:
        """Return one run."""
        return dict(self._ask("GET", f"/api/v2/dags/{dag_id}/dagRuns/{run_id}"))

    def set_state(self, dag_id: str, run_id: str, state: str) -> None:
        """End a run by hand, as `success` or `failed`."""
        self._ask("PATCH", f"/api/v2/dags/{dag_id}/dagRuns/{run_id}", json={"state": state})

    def runs(self, dag_id: str, **filters: Any) -> list[dict[str, Any]]:
        """Return runs, newest first; `~` for all DAGs. Filters as in Airflow's reference."""
        found = self._ask(
            "GET",
            f"/api/v2/dags/{dag_id}/dagRuns",
            params={"order_by": "-run_after", "limit": 100, **filters},
        )
        return list(found["dag_runs"])

    def tasks(self, dag_id: str, run_id: str) -> dict[str, dict[str, Any]]:
        """Return the task instances of a run by task id."""
        found = self._ask("GET", f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances")
        return {task["task_id"]: task for task in found["task_instances"]}

    def log(self, dag_id: str, run_id: str, task_id: str, attempt: int) -> list[dict[str, Any]]:
        """Return the lines of one attempt's log; each has `event`, most have `level`."""
        found = self._ask(
            "GET",
            f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/logs/{attempt}",
            headers={"Accept": "application/json"},
        )
        return [line for line in found.get("content", []) if isinstance(line, dict)]

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str = "return_value") -> Any:
        """Return what a task handed on; None where it did not."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/{key}"
        try:
            return self._ask("GET", f"{path}?deserialize=true").get("value")
        except NotFoundError:
            return None

    def _ask(self, method: str, path: str, **options: Any) -> Any:
        try:
            answer = self._client.request(method, path, **options)
        except httpx.HTTPError as error:
            raise ServiceUnavailableError(
                f"Airflow at {self._client.base_url} does not answer: {error}",
                "See that its api-server runs.",
            ) from error
        if answer.is_success:
            return answer.json()
        raise _error_of(answer, method, path)


class NotFoundError(PermanentError):
    """Airflow knows nothing of that name."""


def _error_of(answer: httpx.Response, method: str, path: str) -> Exception:
    what = f"Airflow answered {answer.status_code} to {method} {path}"
    if answer.status_code in (401, 403):
        return SettingsError(f"{what}.", "Give it a user who may do that.")
    if answer.status_code == 404:
        return NotFoundError(f"{what}.", "See the name, and that the DAG has been parsed.")
    detail = answer.text[:300]
    if answer.status_code >= 500 or answer.status_code == 429:
        return ServiceUnavailableError(f"{what}: {detail}", "Try again; see the api-server's log.")
    return PermanentError(f"{what}: {detail}", "See Airflow's REST reference.")
