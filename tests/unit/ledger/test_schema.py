"""The ledger's schema: made once, whoever comes first; and the same as `tables.py` says."""

import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from lastmile.errors import SettingsError
from lastmile.ledger.ledger import HEAD, Ledger
from lastmile.ledger.schema import MIGRATIONS, alembic_config, current_version
from lastmile.ledger.tables import metadata


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
