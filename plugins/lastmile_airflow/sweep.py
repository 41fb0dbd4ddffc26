"""Finds what no callback reported: failed runs, runs whose end was never told, events in the spool."""

import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from airflow.sdk import Connection
from airflow.sdk.exceptions import AirflowNotFoundException

from lastmile.errors import LastmileError, PermanentError, SettingsError
from lastmile_airflow.callbacks import WHOLE_RUN, failure_key, run_error
from lastmile_airflow.connections import API_CONNECTION
from lastmile_airflow.defaults import RUN_TIMEOUT, Tag
from lastmile_airflow.environment import airflow_settings, run_context
from lastmile_airflow.events import failure_event
from lastmile_airflow.operators import ANNOUNCE, STAGES
from lastmile_airflow.rest import AirflowRest

if TYPE_CHECKING:
    from lastmile.ledger.ledger import Ledger
    from lastmile.settings import Settings

log = logging.getLogger(__name__)

LOOK_BACK = timedelta(days=3)
"""A weekend: a sweep that did not run for longer leaves the rest to people."""

GRACE = timedelta(minutes=2)
"""So long a callback may take before it counts as missing."""

OURS = frozenset({Tag.MODEL.value, Tag.HOUSEKEEPING.value})


@dataclass(frozen=True)
class Swept:
    """What a sweep found and recorded."""

    spooled: int
    failures: int
    untold: int


def sweep(rest: AirflowRest, now: datetime) -> Swept:
    """Record what was missed. Twice the same sweep records it once.

    Raises:
        LastmileError: Airflow or the ledger does not answer.
    """
    from lastmile.ledger.ledger import Ledger
    from lastmile.team.load import rules_or_default
    from lastmile.team.spool import sweep_spool

    settings = airflow_settings()
    ledger = Ledger(settings.ledger)
    spooled = sweep_spool(settings.home_path, ledger, rules_or_default(settings))
    failures = untold = 0
    for dag in rest.dags():
        tags = {tag["name"] for tag in dag["tags"]}
        if not tags & OURS:
            continue
        window = {
            "end_date_gte": (now - LOOK_BACK).isoformat(),
            "end_date_lte": (now - GRACE).isoformat(),
        }
        for run in rest.runs(dag["dag_id"], state="failed", **window):
            failures += _record_failures(rest, settings, ledger, dag, run)
        if Tag.MODEL in tags and Tag.BROKEN not in tags:
            for run in rest.runs(dag["dag_id"], state="success", **window):
                untold += _announce_if_untold(rest, run)
    return Swept(spooled, failures, untold)


def open_rest() -> AirflowRest:
    """Log in to Airflow with the connection `airflow_api`.

    Raises:
        SettingsError: There is none, or it is refused.
        ServiceUnavailableError: Airflow does not answer.
    """
    try:
        given = Connection.get(API_CONNECTION)
    except AirflowNotFoundException as error:
        raise SettingsError(
            f"There is no Airflow connection {API_CONNECTION!r}, so nobody looks for failures that "
            "no callback reported.",
            "Add one of type http with host, port, login and password of a user who may read runs.",
        ) from error
    scheme = given.schema if given.schema in ("http", "https") else given.conn_type or "http"
    port = f":{given.port}" if given.port else ""
    return AirflowRest(f"{scheme}://{given.host}{port}", given.login or "", given.password or "")


def sweep_now() -> Swept:
    """Sweep the Airflow that this task runs in.

    Raises:
        LastmileError: Airflow or the ledger does not answer, or there is no connection.
    """
    rest = open_rest()
    try:
        return sweep(rest, datetime.now(UTC))
    finally:
        rest.close()


def _record_failures(
    rest: AirflowRest,
    settings: "Settings",
    ledger: "Ledger",
    dag: dict[str, Any],
    run: dict[str, Any],
) -> int:
    """Record the failures of a failed run that are not in the ledger; returns how many."""
    from lastmile.team.load import rules_or_default
    from lastmile.team.record import is_recorded, record

    rules = rules_or_default(settings)
    dag_id, run_id = dag["dag_id"], run["dag_run_id"]
    failed = [task for task in rest.tasks(dag_id, run_id).values() if task["state"] == "failed"]
    owner = ", ".join(dag.get("owners") or []) or "airflow"
    found: list[tuple[str, int, LastmileError | None]] = [
        (STAGES.get(task["task_id"], task["task_id"].rpartition(".")[2]), task["try_number"], None)
        for task in failed
    ]
    if not found:
        whole = SimpleNamespace(dag_id=dag_id, dagrun_timeout=RUN_TIMEOUT)
        found = [(WHOLE_RUN, 0, run_error(whole, run_id, ""))]
    recorded = 0
    for step, attempt, error in found:
        key = failure_key(dag_id, run_id, step, attempt)
        if not is_recorded(ledger, key):
            log.warning("%s of run %s of %s had not been reported.", step, run_id, dag_id)
            event = failure_event(settings, dag_id, run_id, step, error, owner)
            record(ledger, event, key, rules)
            recorded += 1
    return recorded


def _announce_if_untold(rest: AirflowRest, run: dict[str, Any]) -> int:
    """Announce a run that ended well but whose announcement did not; returns 1 if it had to."""
    from lastmile.run import RunOptions
    from lastmile.team.announce import announce

    dag_id, run_id = run["dag_id"], run["dag_run_id"]
    task = rest.tasks(dag_id, run_id).get(ANNOUNCE)
    if task is None or task["state"] == "success":
        return 0
    conf = run.get("conf") or {}
    try:
        announce(run_context(dag_id, run_id, RunOptions(dry_run=bool(conf.get("dry_run")))))
    except PermanentError as error:
        log.warning("Run %s of %s cannot be announced: %s", run_id, dag_id, error)
        return 0
    return 1
