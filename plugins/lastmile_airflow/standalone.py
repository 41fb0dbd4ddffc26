"""The embedded Airflow: web UI on loopback, SQLite, LocalExecutor, all of it inside the checkout.

`airflow standalone` would do, but for two things: its log servers listen on every network interface and
on fixed ports, and it leaves children behind. So its components are started one by one, each in a
session of its own.
"""

import json
import os
import secrets
import socket
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from subprocess import run
from urllib.parse import quote

import httpx

from lastmile.errors import ServiceUnavailableError, SettingsError
from lastmile.pipeline.base import Strict
from lastmile_airflow.connections import API_CONNECTION
from lastmile_airflow.environment import CHECKOUT
from lastmile_airflow.processes import Started, end_all, start_detached

USER = "admin"
FIRST_PORT = 8080
PORTS_TRIED = 50
START_SECONDS = 150.0
PASSWORDS = "simple_auth_manager_passwords.json.generated"

COMPONENTS: dict[str, list[str]] = {
    "api-server": ["api-server"],
    "scheduler": ["scheduler", "--skip-serve-logs"],
    "dag-processor": ["dag-processor"],
    "triggerer": ["triggerer", "--skip-serve-logs"],
}


class Standalone(Strict):
    """What is remembered of the embedded Airflow between two commands: `airflow.json`."""

    port: int
    airflow: str
    """The Airflow version that the database is for."""
    processes: tuple[Started, ...] = ()

    @property
    def address(self) -> str:
        """Where the web UI answers."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def is_running(self) -> bool:
        """Whether all components live."""
        return bool(self.processes) and all(process.is_alive for process in self.processes)


def airflow_environment(home: Path, port: int, extra: dict[str, str]) -> dict[str, str]:
    """Return the environment of the embedded Airflow and of every stage it starts.

    Args:
        home: AIRFLOW_HOME.
        port: The web UI's.
        extra: Settings and connections on top. All paths must be absolute.
    """
    address = f"http://127.0.0.1:{port}"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")}
    return {
        **kept,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(CHECKOUT / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(CHECKOUT / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{address}/execution/",
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": address,
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "30",
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
        # A supervisor that misses its task's last words sees the end at its next heartbeat: 5 s.
        "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
        # The sweep asks the REST API which runs failed.
        f"AIRFLOW_CONN_{API_CONNECTION.upper()}": (
            f"http://{USER}:{quote(write_password(home))}@127.0.0.1:{port}"
        ),
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        # Airflow's own; every task's log would begin with it.
        "PYTHONWARNINGS": "ignore:GitWildMatchPattern",
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "PYTHONUNBUFFERED": "1",
        **extra,
    }


def start(home: Path, extra: dict[str, str], tell: Callable[[str], None]) -> Standalone:
    """Start the embedded Airflow, or find it running.

    Args:
        home: AIRFLOW_HOME; remembers port and processes.
        extra: Environment on top, as in `airflow_environment`.
        tell: Takes a line of progress.

    Raises:
        ServiceUnavailableError: It does not come up; its last log lines are in the headline.
    """
    known = remembered(home)
    if known is not None and known.is_running and is_healthy(known.address):
        return known
    if known is not None:
        end_all(list(known.processes))
    port = free_port(known.port if known else FIRST_PORT)
    environment = airflow_environment(home, port, extra)
    newest = version("apache-airflow-core")
    if known is None or known.airflow != newest or not (home / "airflow.db").is_file():
        tell("making Airflow's database")
        migrate(home, environment)
    tell("starting Airflow")
    processes = []
    for name, arguments in COMPONENTS.items():
        processes.append(
            start_detached(name, [_airflow(), *arguments], environment, _log(home, name), home)
        )
        state = Standalone(port=port, airflow=newest, processes=tuple(processes))
        _remember(home, state)
    wait_until_healthy(home, state)
    return state


def stop(home: Path) -> list[str]:
    """End the embedded Airflow and all that it started; returns the components that ran."""
    known = remembered(home)
    if known is None:
        return []
    ended = end_all(list(known.processes))
    _remember(home, known.model_copy(update={"processes": ()}))
    return ended


def remembered(home: Path) -> Standalone | None:
    """Return what was remembered; None where there is nothing, or nothing that can be read."""
    try:
        return Standalone.model_validate_json((home / "airflow.json").read_bytes())
    except (OSError, ValueError):
        return None


def _remember(home: Path, state: Standalone) -> None:
    part = home / ".airflow.json.part"
    part.write_text(state.model_dump_json(indent=1))
    part.replace(home / "airflow.json")


def write_password(home: Path) -> str:
    """Return the admin's password; the first time it is made up and kept for this user alone."""
    path = home / PASSWORDS
    try:
        return str(json.loads(path.read_text())[USER])
    except (OSError, ValueError, KeyError):
        home.mkdir(parents=True, exist_ok=True)
        password = secrets.token_urlsafe(12)
        path.touch(mode=0o600)
        path.write_text(json.dumps({USER: password}))
        return password


def migrate(home: Path, environment: dict[str, str]) -> None:
    """Make Airflow's database, or bring it up to date.

    Raises:
        ServiceUnavailableError: It failed.
    """
    done = run(
        [_airflow(), "db", "migrate"], env=environment, cwd=home, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    if done.returncode:
        lines = (done.stderr.strip() or done.stdout.strip()).splitlines()[-5:]
        raise ServiceUnavailableError(
            "Airflow's database could not be made:\n" + "\n".join(lines),
            f"If {home} holds nothing you need, delete it; then run again.",
        )


def wait_until_healthy(home: Path, state: Standalone) -> None:
    """Wait until UI, scheduler and DAG processor answer.

    Raises:
        ServiceUnavailableError: A component ended, or START_SECONDS went by.
    """
    deadline = time.monotonic() + START_SECONDS
    while not is_healthy(state.address):
        dead = next((p.name for p in state.processes if not p.is_alive), None)
        if dead is not None or time.monotonic() > deadline:
            name = dead or "api-server"
            stop(home)
            raise ServiceUnavailableError(
                f"Airflow's {name} {'ended' if dead else 'does not answer'}. Its last lines:\n"
                + "\n".join(_last_lines(_log(home, name))),
                f"The whole log is in {_log(home, name)}.",
            )
        time.sleep(0.2)


def is_healthy(address: str) -> bool:
    """Whether UI, scheduler and DAG processor are all well."""
    try:
        health = httpx.get(f"{address}/api/v2/monitor/health", timeout=5.0).json()
    except (httpx.HTTPError, ValueError):
        return False
    parts = ("metadatabase", "scheduler", "dag_processor")
    return all((health.get(part) or {}).get("status") == "healthy" for part in parts)


def free_port(first: int) -> int:
    """Return the first port from `first` on that nobody listens on.

    Raises:
        SettingsError: All that were tried are taken.
    """
    for port in range(first, first + PORTS_TRIED):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise SettingsError(
        f"The ports {first} to {first + PORTS_TRIED - 1} are all taken.",
        "End one of the programs that listen there, then run again.",
    )


def _airflow() -> str:
    return str(Path(sys.executable).parent / "airflow")


def _log(home: Path, name: str) -> Path:
    return home / "logs" / f"{name}.log"


def _last_lines(path: Path, count: int = 15) -> list[str]:
    try:
        return path.read_text(errors="replace").splitlines()[-count:]
    except OSError:
        return []
