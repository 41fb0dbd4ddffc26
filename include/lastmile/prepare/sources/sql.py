"""Source kind `sql`: a query over any database that SQLAlchemy speaks to."""

from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from lastmile.errors import DataError, LastmileError, ServiceUnavailableError, SettingsError
from lastmile.pipeline.base import Strict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pandas import DataFrame, Series
    from sqlalchemy import URL, Connection

    from lastmile.prepare.sources.acquired import Acquired, Place, RawRows

SQLITE_PASSING = ("locked", "busy")
"""Words in the messages of SQLite whose cause passes; its other operational errors do not."""


class SqlSource(Strict):
    """Read the rows of a query."""

    connection: str
    """The connection's name; its URL is a setting of the environment, never of this file."""
    query: str
    """One SELECT, sent as it stands. Name the columns, so that a new one in the table changes nothing,
    and give an ORDER BY: rows in another order are other data. It can change nothing: SQLite is opened
    for reading, PostgreSQL and MySQL read only, elsewhere nothing is committed."""

    def acquire(self, place: "Place") -> "Acquired":
        """Read the rows; their digest can be had in no other way."""
        from lastmile.prepare.sources.acquired import Acquired, frame_digest

        rows = self.read(place)
        return Acquired(
            name=place.source, kind="sql", digest=frame_digest(rows.frame), load=lambda: rows
        )

    def read(self, place: "Place") -> "RawRows":
        """Return the query's rows.

        Raises:
            DataError: The database refuses the query, or it has no rows.
            ServiceUnavailableError: The database does not answer.
            SettingsError: There is no such connection, or its URL cannot be used.
        """
        import sqlalchemy as sa
        from sqlalchemy import exc

        from lastmile.prepare.sources.acquired import RawRows, checked_frame

        url = self._url()
        try:
            engine = sa.create_engine(url, poolclass=sa.NullPool)
        except (exc.ArgumentError, ImportError) as error:
            raise self._unusable(str(error)) from error
        try:
            with engine.connect() as connection:  # never commits
                _make_read_only(connection)
                # Past SQLAlchemy and the driver: a colon or a percent sign is part of the query.
                plain = connection.execution_options(no_parameters=True)
                result = plain.exec_driver_sql(self.query)
                frame = _table(list(result.keys()), result.fetchall())
        except exc.StatementError as error:
            raise self._failure(place.source, error, url) from error
        except exc.ResourceClosedError as error:
            raise DataError(
                f"Source {place.source!r}: the query gives no rows, it is no SELECT.",
                "Write one SELECT as `query`.",
            ) from error
        return RawRows.counted(checked_frame(frame, place.source))

    def _url(self) -> "URL":
        import sqlalchemy as sa

        from lastmile.settings import connection_url

        try:
            url = sa.make_url(connection_url(self.connection).get_secret_value())
        except sa.exc.ArgumentError as error:
            raise self._unusable("it is no SQLAlchemy URL") from error
        database = url.database
        if url.get_backend_name() != "sqlite" or not database or database.startswith(":"):
            return url
        if not database.startswith("file:"):
            path = Path(database)
            if not path.is_file():
                raise DataError(
                    f"Connection {self.connection!r}: there is no database file {path}.",
                    "Write the data first, or correct the connection's URL.",
                )
            database = f"file:{quote(str(path))}"
        # Python's driver commits before a DROP TABLE: what must not change is not opened for writing.
        return url.set(database=database, query={**url.query, "mode": "ro", "uri": "true"})

    def _unusable(self, why: str) -> LastmileError:
        return SettingsError(
            f"The URL of connection {self.connection!r} cannot be used: {why}",
            "It has the form dialect+driver://user:password@host/database; install its driver.",
        )

    def _failure(self, source: str, error: Any, url: "URL") -> LastmileError:
        """Tell a database that is away from a query that is wrong; let no password out."""
        from sqlalchemy import exc

        message = " ".join(str(error.orig).split())
        if url.password:
            message = message.replace(str(url.password), "***")
        passing = isinstance(error, (exc.OperationalError, exc.InterfaceError))
        if url.get_backend_name() == "sqlite":
            passing = any(word in message for word in SQLITE_PASSING)
        if passing:
            return ServiceUnavailableError(
                f"Source {source!r}: database {self.connection!r} does not serve: {message}",
                "See that it runs and can be reached from here; then run again.",
            )
        return DataError(
            f"Source {source!r}: database {self.connection!r} refuses the query: {message}",
            "Correct `query`, or grant the right to read.",
        )


def _make_read_only(connection: "Connection") -> None:
    dialect = connection.dialect.name
    if dialect == "postgresql":
        connection.execution_options(postgresql_readonly=True)
    elif dialect in ("mysql", "mariadb"):  # where a DROP TABLE commits by itself
        connection.exec_driver_sql("set session transaction read only")


def _table(names: list[str], rows: "Sequence[Sequence[Any]]") -> "DataFrame":
    """Return the rows as a frame in which every value is what the database gave.

    pandas would infer a whole column at once: whole numbers with one NULL, or one fraction, among them
    become float64, and from 2^53 on different keys are then the same key.
    """
    import pandas as pd

    frame = pd.DataFrame([tuple(row) for row in rows], columns=range(len(names)), dtype="object")
    columns = [frame[at] if _would_widen(frame[at]) else frame[at].infer_objects() for at in frame]
    table = pd.concat(columns, axis="columns") if columns else frame
    return table.set_axis(names, axis="columns")


def _would_widen(values: "Series[Any]") -> bool:
    kinds = set(map(type, values))
    return int in kinds and len(kinds) > 1
