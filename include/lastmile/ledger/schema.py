"""Brings the ledger's schema up to date, once, whoever comes first."""

from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.exc import OperationalError, ProgrammingError

from lastmile.errors import SettingsError

if TYPE_CHECKING:
    from alembic.config import Config

MIGRATIONS = Path(__file__).parent / "migrations"
MIGRATION_LOCK = 7146153
"""Any fixed number of ours: PostgreSQL's advisory lock while migrating."""


def bring_up_to_date(engine: sa.Engine, head: str) -> None:
    """Migrate to `head` unless the schema is there already.

    Alembic is imported only when there is something to do: it takes a good second.

    Raises:
        SettingsError: A newer Lastmile has migrated this ledger.
    """
    if current_version(engine) == head:
        return
    from alembic import command
    from alembic.util import CommandError

    with engine.begin() as connection:  # on SQLite this waits for other writers already
        if connection.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(MIGRATION_LOCK)))
        found = current_version(connection)
        if found == head:  # another process was faster
            return
        try:
            command.upgrade(alembic_config(connection), head)
        except CommandError as error:
            raise SettingsError(
                f"The ledger's schema {found!r} is not known to this Lastmile, which has {head!r}.",
                "A newer Lastmile uses this ledger: update this one, or name another ledger.",
            ) from error


def current_version(bind: sa.Engine | sa.Connection) -> str | None:
    """Return the schema's version, or None where the ledger is empty."""
    try:
        if isinstance(bind, sa.Engine):
            with bind.execution_options(reads_only=True).connect() as connection:
                return current_version(connection)
        if not sa.inspect(bind).has_table("alembic_version"):
            return None
        version: str | None = bind.execute(
            sa.text("select version_num from alembic_version")
        ).scalar()
        return version
    except (OperationalError, ProgrammingError) as error:
        if "no such table" in str(error):
            return None
        raise


def alembic_config(connection: sa.Connection | None = None) -> "Config":
    """Return Alembic's configuration for the ledger, over an open connection if one is given."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    return config
