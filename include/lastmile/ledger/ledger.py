"""The ledger's door: opens the database, brings its schema up to date, keeps and finds rows."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from lastmile.errors import SettingsError, StoreError
from lastmile.ledger import tables
from lastmile.ledger.engine import in_utc, open_engine
from lastmile.pipeline.base import Strict

HEAD = "0002"
"""The newest migration; a test compares it with `migrations/versions/`."""

WAIT_SECONDS = 15.0
"""How long a busy database may keep a stage; nothing is lost by waiting there."""


LEAST_ROOM = 1_000_000
"""Bytes. SQLite calls a disk with less room one that cannot be read or written, or a full one."""


class StageRun(Strict):
    """Time and resources of one stage."""

    pipeline: str
    run_id: str
    stage: str
    started_at: datetime
    wall_seconds: float
    cpu_seconds: float
    peak_memory_bytes: int
    rows: int | None
    workers: int
    reused: bool
    exit_code: int


class Release(Strict):
    """One model version put in service."""

    id: int
    pipeline: str
    version: int
    bundle: str
    candidate: str
    run_id: str
    target: str
    status: str
    address: str | None
    reason: str
    created_at: datetime
    changed_at: datetime


class Ledger:
    """The ledger of one environment. Cheap to make; connects on first use."""

    def __init__(
        self, url: str, lease_seconds: float = 30.0, wait_seconds: float = WAIT_SECONDS
    ) -> None:
        """Connect nothing yet.

        Args:
            url: SQLAlchemy URL of the database. May hold a password.
            lease_seconds: A lease not renewed for so long may be taken over.
            wait_seconds: How long a busy or silent database may keep the caller.

        Raises:
            SettingsError: The URL cannot be used.
        """
        try:
            parsed = sa.make_url(url)
        except sa.exc.ArgumentError as error:
            raise SettingsError(
                "LASTMILE_LEDGER_URL is no SQLAlchemy URL.", "sqlite:////path or postgresql+...://"
            ) from error
        self._url = url
        self._lease_seconds = lease_seconds
        self._wait_seconds = wait_seconds
        if parsed.get_backend_name() == "sqlite" and parsed.database:
            _make_folder(Path(parsed.database).parent)
        self._engine = open_engine(parsed, wait_seconds)
        self._is_current = False

    @contextmanager
    def begin(self) -> Iterator[sa.Connection]:
        """Open a transaction that may write, on an up-to-date schema.

        On SQLite it is the only writer from its first statement on, so that what it reads cannot
        change before it writes.

        Raises:
            StoreError: The database does not answer.
            IntegrityError: SQLAlchemy's; a row with this key is there already.
        """
        with self._reporting(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """Open a transaction that only reads; it waits for no writer, and none waits for it.

        Raises:
            StoreError: The database does not answer.
        """
        with (
            self._reporting(),
            self._engine.execution_options(reads_only=True).begin() as connection,
        ):
            yield connection

    def hastier(self, wait_seconds: float) -> "Ledger":
        """Return the same ledger with less patience for a busy or silent database."""
        return Ledger(self._url, self._lease_seconds, wait_seconds)

    @contextmanager
    def _reporting(self) -> Iterator[None]:
        try:
            self._bring_up_to_date()
            yield
        except IntegrityError:
            raise
        except SQLAlchemyError as error:
            cause = str(getattr(error, "orig", None) or error).splitlines()[0]
            if (full := self._full_disk(cause)) is not None:
                raise StoreError(
                    f"The ledger {full} cannot be written: there is no room left on its disk.",
                    "Free some space there; run again.",
                ) from error
            raise StoreError(
                f"The ledger does not answer: {cause}", "See that its database runs; run again."
            ) from error

    def _full_disk(self, cause: str) -> Path | None:
        """Return the ledger's file, if that is what an error means: SQLite tells a full disk in two ways."""
        url = sa.make_url(self._url)
        if url.get_backend_name() != "sqlite" or not url.database:
            return None
        file = Path(url.database)
        if "database or disk is full" in cause:
            return file
        try:
            free = shutil.disk_usage(file.parent).free
        except OSError:
            return None
        return file if "disk I/O error" in cause and free < LEAST_ROOM else None

    def add_stage_run(self, run: StageRun) -> None:
        """Keep a stage's time and resources."""
        with self.begin() as connection:
            connection.execute(tables.stage_runs.insert().values(run.model_dump()))

    def stage_runs(self, pipeline: str, run_id: str | None = None) -> list[StageRun]:
        """Return what is known of a pipeline's stages, oldest first."""
        table = tables.stage_runs
        query = sa.select(table).where(table.c.pipeline == pipeline).order_by(table.c.id)
        if run_id is not None:
            query = query.where(table.c.run_id == run_id)
        with self.read() as connection:
            rows = connection.execute(query).mappings().all()
        return [StageRun(**{k: v for k, v in in_utc(row).items() if k != "id"}) for row in rows]

    # Releases

    def add_release(self, **values: Any) -> int:
        """Keep a release that begins; returns its id."""
        now = datetime.now(UTC)
        with self.begin() as connection:
            row = connection.execute(
                tables.releases.insert().values(created_at=now, changed_at=now, **values)
            )
            return int(row.inserted_primary_key[0])  # type: ignore[index]

    def set_serving(self, release_id: int, address: str) -> None:
        """Make this release the champion; the one before it becomes superseded, at the same moment."""
        table, now = tables.releases, datetime.now(UTC)
        with self.begin() as connection:
            pipeline = connection.execute(
                sa.select(table.c.pipeline).where(table.c.id == release_id)
            ).scalar_one()
            connection.execute(
                table.update()
                .where(
                    table.c.pipeline == pipeline,
                    table.c.status == "serving",
                    table.c.id != release_id,
                )
                .values(status="superseded", changed_at=now)
            )
            connection.execute(
                table.update()
                .where(table.c.id == release_id)
                .values(status="serving", address=address, changed_at=now)
            )

    def set_failed(self, release_id: int, reason: str) -> None:
        """Say that this release did not go into service."""
        with self.begin() as connection:
            connection.execute(
                tables.releases.update()
                .where(tables.releases.c.id == release_id)
                .values(status="failed", reason=reason, changed_at=datetime.now(UTC))
            )

    def releases(self, pipeline: str) -> list[Release]:
        """Return a pipeline's releases, newest first."""
        table = tables.releases
        query = sa.select(table).where(table.c.pipeline == pipeline).order_by(table.c.id.desc())
        with self.read() as connection:
            return [Release(**in_utc(row)) for row in connection.execute(query).mappings()]

    def released_pipelines(self) -> list[str]:
        """Return the names of the pipelines that have releases, sorted."""
        name = tables.releases.c.pipeline
        with self.read() as connection:
            return list(connection.execute(sa.select(name).distinct().order_by(name)).scalars())

    def champion(self, pipeline: str) -> Release | None:
        """Return the release that serves now."""
        return next((r for r in self.releases(pipeline) if r.status == "serving"), None)

    # Leases

    @contextmanager
    def lease(self, name: str, what: str) -> Iterator[None]:
        """Hold a named lock. One whose holder died, or was not heard of for long, is taken over.

        Raises:
            BusyError: Somebody else holds it; the headline says who.
        """
        from lastmile.ledger.leases import held_lease

        with held_lease(self, name, what, self._lease_seconds):
            yield

    def _bring_up_to_date(self) -> None:
        if self._is_current:
            return
        from lastmile.ledger.schema import bring_up_to_date

        bring_up_to_date(self._engine, HEAD)
        self._is_current = True


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(
            f"The ledger's folder cannot be made: {error}",
            "Set LASTMILE_HOME to a folder of yours.",
        ) from error
