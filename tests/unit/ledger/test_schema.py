"""The ledger's schema: made once, whoever comes first; and the same as `tables.py` says."""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from lastmile.errors import SettingsError
from lastmile.ledger.ledger import HEAD, Ledger
from lastmile.ledger.schema import MIGRATIONS, alembic_config, current_version
from lastmile.ledger.tables import metadata, outbox, threads


def open_migrated(url: str) -> sa.Engine:
    with Ledger(url).read():
        pass
    return sa.create_engine(url, poolclass=sa.NullPool)


def test_the_code_knows_the_newest_migration() -> None:
    newest = max(path.name.split("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))
    assert newest == HEAD


def test_migrations_make_the_tables_that_the_code_uses(ledger_url: str) -> None:
    with open_migrated(ledger_url).connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), metadata)
    assert differences == []


def test_migrations_go_down_to_nothing_and_up_again(ledger_url: str) -> None:
    engine = open_migrated(ledger_url)
    with engine.begin() as connection:
        command.downgrade(alembic_config(connection), "base")
        assert set(sa.inspect(connection).get_table_names()) == {"alembic_version"}
    assert current_version(engine) is None
    with Ledger(ledger_url).read():
        pass
    assert current_version(engine) == HEAD


def test_an_empty_database_has_no_version(ledger_url: str) -> None:
    assert current_version(sa.create_engine(ledger_url, poolclass=sa.NullPool)) is None


def test_a_ledger_of_a_newer_lastmile_is_refused_and_left_alone(ledger_url: str) -> None:
    with open_migrated(ledger_url).begin() as connection:
        connection.exec_driver_sql("update alembic_version set version_num = '9999'")
    with pytest.raises(SettingsError, match="'9999' is not known"), Ledger(ledger_url).read():
        pass
    assert current_version(sa.create_engine(ledger_url, poolclass=sa.NullPool)) == "9999"


FIRST_USE = """
import sys
from lastmile.ledger.ledger import Ledger
ledger = Ledger(sys.argv[1])
sys.stdin.readline()
ledger.add_release(pipeline="p", version=1, bundle="b", candidate="c", run_id="r",
                   target="process", status="deploying", address=None, reason="")
"""


def test_two_processes_may_migrate_at_once(ledger_url: str) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", FIRST_USE, ledger_url],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    errors = [process.communicate()[1] for process in processes]
    assert [p.returncode for p in processes] == [0, 0], errors
    assert len(Ledger(ledger_url).releases("p")) == 2


def test_an_unknown_database_is_a_settings_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="'oracle' cannot be used"):
        Ledger("oracle://somewhere/x")
    with pytest.raises(SettingsError, match="no SQLAlchemy URL"):
        Ledger("not a url")


def test_what_was_told_before_the_second_migration_is_known_after_it(ledger_url: str) -> None:
    engine = open_migrated(ledger_url)
    opened = {"action": "opened", "event": {"tracker": "RISK", "channel": "risk-models"}}
    rows = [
        (1, "jira", opened, "sent", "RISK-1"), (1, "slack", opened, "sent", "C1/1.0"),
        (1, "slack", opened | {"action": "recovered"}, "sent", "C1/2.0"), (2, "jira", opened, "dead", None),
        (3, "slack", opened, "sent", "C1/3.0"),
    ]  # fmt: skip
    with engine.begin() as connection:
        command.downgrade(alembic_config(connection), "0001")
        old = sa.MetaData()
        old.reflect(connection)
        now = datetime(2026, 3, 1, tzinfo=UTC)
        for number, cause in ((1, "a"), (2, "b"), (3, "a")):
            connection.execute(
                old.tables["incidents"].insert().values(
                    id=number, fingerprint=cause, pipeline="p", kind="failure", status="recovered", stage="",
                    run_id="r", owner="o", headline="h", hint="", facts={}, occurrences=number, opened_at=now,
                    changed_at=now,
                )
            )  # fmt: skip
        for number, (incident, channel, body, status, remote_id) in enumerate(rows):
            connection.execute(
                old.tables["outbox"].insert().values(
                    key=f"k{number}", incident_id=incident, channel=channel, body=body, status=status,
                    attempts=1, next_attempt_at=now, unsettled=False, remote_id=remote_id, error="",
                    created_at=now,
                )
            )  # fmt: skip
    with Ledger(ledger_url).read() as connection:
        found = connection.execute(sa.select(threads).order_by(threads.c.channel)).mappings().all()
        actions = (
            connection.execute(sa.select(outbox.c.action).order_by(outbox.c.id)).scalars().all()
        )
    assert [(t["channel"], t["place"], t["remote_id"], t["key"], t["incident_id"]) for t in found] == [
        ("jira", "RISK", "RISK-1", "k0", 1), ("slack", "risk-models", "C1/3.0", "k4", 3),
    ]  # fmt: skip
    assert actions == ["opened", "opened", "recovered", "opened", "opened"]
