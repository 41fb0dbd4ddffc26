"""A real PostgreSQL server of the tests' own: made in a temporary folder, on a Unix socket only."""

import importlib.util
import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa


def why_no_postgres() -> str | None:
    """Say what is missing on this machine, or None where a server can be had."""
    if _program("initdb") is None:
        return "no PostgreSQL here (Debian: apt install postgresql)"
    if importlib.util.find_spec("psycopg") is None:
        return "no driver for PostgreSQL (psycopg) in this environment"
    return None


@contextmanager
def running_postgres() -> Iterator[str]:
    """Give the SQLAlchemy URL of a fresh server's `postgres` database; the server ends with the block."""
    folder = Path(
        tempfile.mkdtemp(prefix="lastmile-pg-", dir="/tmp")
    )  # a socket's path must be short
    user = "postgres" if os.geteuid() == 0 else None  # the server refuses to run as root
    if user:
        shutil.chown(folder, user)
    data = folder / "data"
    try:
        _run(
            "initdb",
            "-D",
            str(data),
            "-U",
            "lastmile",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--no-sync",
            user=user,
        )
        options = f"-c listen_addresses='' -c unix_socket_directories='{folder}' -c fsync=off"
        _run(
            "pg_ctl",
            "-D",
            str(data),
            "-o",
            options,
            "-l",
            str(folder / "log"),
            "-w",
            "start",
            user=user,
        )
        try:
            yield f"postgresql+psycopg://lastmile@/postgres?host={folder}"
        finally:
            _run("pg_ctl", "-D", str(data), "-m", "immediate", "-w", "stop", user=user)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def make_database(server: str, name: str) -> str:
    """Make an empty database; returns its URL."""
    engine = sa.create_engine(server, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        connection.exec_driver_sql(f'create database "{name}"')
    return sa.make_url(server).set(database=name).render_as_string(hide_password=False)


def _program(name: str) -> str | None:
    if found := shutil.which(name):
        return found
    beside = sorted(
        Path("/usr/lib/postgresql").glob(f"*/bin/{name}")
    )  # Debian keeps it off the PATH
    return str(beside[-1]) if beside else None


def _run(name: str, *arguments: str, user: str | None) -> None:
    program = _program(name)
    assert program is not None
    subprocess.run(
        [program, *arguments],
        user=user,
        cwd="/",
        check=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,  # the server would keep a pipe open
        stderr=subprocess.DEVNULL,
        env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
    )


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """URL of a server, for a conftest to take over."""
    if missing := why_no_postgres():
        pytest.skip(missing)
    with running_postgres() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of an empty database, once of each kind, for a conftest to take over."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.db'}"
    return make_database(request.getfixturevalue("postgres_server"), f"t{uuid.uuid4().hex[:12]}")
