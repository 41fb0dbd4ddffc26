"""Follows one run in Airflow and shows each stage's progress, state and time."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lastmile.cli import text
from lastmile_airflow.operators import (
    ANNOUNCE,
    APPROVE,
    JUDGE,
    PACKAGE,
    PREPARE,
    RELEASE,
    TRAIN,
)
from lastmile_airflow.rest import FINAL, AirflowRest
from lastmile_airflow.screen import Screen

POLL_SECONDS = 0.4
TAIL_BYTES = 4000

STEPS = {PREPARE: "prepare", TRAIN: "train", JUDGE: "evaluate", APPROVE: "approve",
         PACKAGE: "package", RELEASE: "deploy", ANNOUNCE: "announce"}  # fmt: skip
"""The tasks of a model's DAG, in order, and what they are called here."""

MOST_FACTS = 6
AIRFLOWS_OWN = "Task failed with exception"
DONE = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})


class Follower:
    """One run, looked at until it ends."""

    def __init__(
        self, rest: AirflowRest, screen: Screen, logs: Path, dag_id: str, run_id: str
    ) -> None:
        self._rest = rest
        self._screen = screen
        self._logs = logs
        self._dag_id = dag_id
        self._run_id = run_id
        self._shown: set[str] = set()

    def follow(self) -> str:
        """Show the run until it ends; returns its state, `success` or `failed`."""
        while True:
            state = str(self._rest.run(self._dag_id, self._run_id)["state"])
            tasks = self._rest.tasks(self._dag_id, self._run_id)
            self._show(tasks)
            if state in FINAL and all(
                task_id in self._shown for task_id in STEPS if task_id in tasks
            ):
                return state
            time.sleep(POLL_SECONDS)

    def _show(self, tasks: dict[str, dict[str, Any]]) -> None:
        """Show in order what is done, then how far the first that is not done has come."""
        for task_id, name in STEPS.items():
            task = tasks.get(task_id)
            if task is None or task_id in self._shown:
                continue
            if task["state"] not in DONE:
                self._screen.progress(
                    f"  {name:<9} {_running_seconds(task):5.1f} s  {self._last_words(task)}"
                )
                return
            self._shown.add(task_id)
            self._screen.line(self._done_line(name, task).rstrip())

    def _done_line(self, name: str, task: dict[str, Any]) -> str:
        state = {"success": "done", "upstream_failed": "not run"}.get(task["state"], task["state"])
        if task["state"] == "upstream_failed":
            return f"  {name:<9} {'':7}  {state}"
        return f"  {name:<9} {task['duration'] or 0:5.1f} s  {state:<8} {self._facts(task)}"

    def _facts(self, task: dict[str, Any]) -> str:
        if task["state"] == "failed":
            return ""
        if task["task_id"] == APPROVE:
            told = self._rest.xcom(self._dag_id, self._run_id, APPROVE, "verdict") or {}
            return str(told.get("summary", ""))
        result = self._rest.xcom(self._dag_id, self._run_id, task["task_id"]) or {}
        if "headline" in result:
            return str(result["headline"])
        parts = text.facts(result.get("summary", {}))
        if result.get("reused_from"):
            parts.insert(0, f"reused from {result['reused_from']}")
        return ", ".join(parts[:MOST_FACTS])

    def _last_words(self, task: dict[str, Any]) -> str:
        """Return the last line that the running stage has logged."""
        if task["state"] != "running":
            return str(task["state"] or "waiting").replace("_", " ")
        folder = self._logs / f"dag_id={self._dag_id}" / f"run_id={self._run_id}"
        path = folder / f"task_id={task['task_id']}" / f"attempt={task['try_number']}.log"
        try:
            with path.open("rb") as file:
                file.seek(max(0, path.stat().st_size - TAIL_BYTES))
                lines = file.read().decode(errors="replace").splitlines()
        except OSError:
            return "starting"
        for line in reversed(lines):
            words = _event(line)
            if words:
                return words
        return "starting"


def error_lines(rest: AirflowRest, dag_id: str, run_id: str) -> list[str]:
    """Return the errors that the failed tasks of a run have logged."""
    found: list[str] = []
    for task_id, task in rest.tasks(dag_id, run_id).items():
        if task["state"] != "failed":
            continue
        found.append(f"{task_id}, attempt {task['try_number']}:")
        for line in rest.log(dag_id, run_id, task_id, task["try_number"]):
            text = f"  {line['event']}"
            if line.get("level") in ("error", "critical") and line["event"] != AIRFLOWS_OWN:
                found.append(text)
    return found


def _running_seconds(task: dict[str, Any]) -> float:
    if not task.get("start_date"):
        return 0.0
    began = datetime.fromisoformat(task["start_date"].replace("Z", "+00:00"))
    return max(0.0, (datetime.now(UTC) - began).total_seconds())


def _event(line: str) -> str:
    """Return what a stage said, from a line of Airflow's JSON log; empty for Airflow's own words."""
    try:
        value = json.loads(line)
    except ValueError:
        return ""
    if not str(value.get("logger", "")).startswith("airflow.task.operators.lastmile_airflow"):
        return ""
    return str(value.get("event", "")).strip()
