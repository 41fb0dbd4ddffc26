"""How the ledger's database is spoken to: SQLite in the embedded form, PostgreSQL in the stack."""

import contextlib
import math
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from lastmile.errors import SettingsError


def open_engine(url: sa.URL, wait_seconds: float) -> sa.Engine:
    """Return an engine that gives up on a busy or silent database after `wait_seconds`.

    No connection is kept between uses: stages are short-lived processes that fork.

    Raises:
        SettingsError: The database's driver is not installed.
    """
    is_sqlite = url.get_backend_name() == "sqlite"
    arguments = _sqlite_arguments(wait_seconds) if is_sqlite else _server_arguments(wait_seconds)
    try:
        engine = sa.create_engine(url, poolclass=NullPool, connect_args=arguments)
    except (ModuleNotFoundError, SQLAlchemyError) as error:
        raise SettingsError(
            f"The ledger's database {url.get_backend_name()!r} cannot be used: {error}",
            "Install the driver that LASTMILE_LEDGER_URL names, or name another.",
        ) from error
    if is_sqlite:
        sa.event.listen(engine, "connect", _prepare_sqlite)
        sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def _sqlite_arguments(wait_seconds: float) -> dict[str, Any]:
    # `isolation_level`: the driver opens no transaction of its own; it would do so only before the
    # first write, when what was read may have changed already.
    return {"timeout": wait_seconds, "isolation_level": None}


def _server_arguments(wait_seconds: float) -> dict[str, Any]:
    milliseconds = math.ceil(wait_seconds * 1000)
    return {
        "connect_timeout": max(2, math.ceil(wait_seconds)),  # libpq takes no less than 2
        "options": f"-c lock_timeout={milliseconds} -c statement_timeout={milliseconds}",
    }


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # Write-ahead logging lets readers and a writer work side by side. Setting it takes the whole
    # file, and SQLite does not wait for that: so only where it is not set yet, and not as a must.
    if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        with contextlib.suppress(
            connection.OperationalError
        ):  # another process is at it or writing
            connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA foreign_keys=ON")


def _begin_sqlite(connection: sa.Connection) -> None:
    reads_only = connection.get_execution_options().get("reads_only", False)
    connection.exec_driver_sql("BEGIN" if reads_only else "BEGIN IMMEDIATE")


def in_utc(row: Any) -> dict[str, Any]:
    """Return a row as a mapping whose times are UTC."""
    return {
        key: as_utc(value) if isinstance(value, datetime) else value for key, value in row.items()
    }


def as_utc(moment: datetime) -> datetime:
    """Return a moment as UTC; SQLite forgets the zone, PostgreSQL gives that of the session."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
