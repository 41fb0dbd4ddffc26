"""The ledger: rows kept and found, one champion, several writers, bounded patience."""

import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from lastmile.errors import StoreError
from lastmile.ledger.engine import as_utc
from lastmile.ledger.ledger import Ledger, StageRun
from lastmile.ledger.tables import leases


def add_release(ledger: Ledger, **values: Any) -> int:
    row = {
        "pipeline": "toy", "version": 1, "bundle": "b1", "candidate": "c1", "run_id": "r1",
        "target": "process", "status": "deploying", "address": None, "reason": "",
    }  # fmt: skip
    return ledger.add_release(**(row | values))


def test_a_stage_run_comes_back_as_it_went_in(ledger: Ledger) -> None:
    run = StageRun(
        pipeline="toy",
        run_id="r1",
        stage="train",
        started_at=datetime(2026, 3, 1, 2, 0, 0, 123456, tzinfo=UTC),
        wall_seconds=12.5,
        cpu_seconds=20.25,
        peak_memory_bytes=5 << 30,
        rows=None,
        workers=2,
        reused=False,
        exit_code=0,
    )
    ledger.add_stage_run(run)
    ledger.add_stage_run(run.model_copy(update={"run_id": "r2"}))
    assert ledger.stage_runs("toy", "r1") == [run]
    assert [r.run_id for r in ledger.stage_runs("toy")] == ["r1", "r2"]
    assert ledger.stage_runs("other") == []


def test_the_newest_serving_release_is_the_one_champion(ledger: Ledger) -> None:
    first = add_release(ledger)
    assert ledger.champion("toy") is None
    ledger.set_serving(first, "http://127.0.0.1:8600")
    second = add_release(ledger, version=2)
    third = add_release(ledger, version=3)
    ledger.set_serving(second, "http://127.0.0.1:8600")
    ledger.set_failed(third, "smoke test")
    champion = ledger.champion("toy")
    assert champion is not None
    assert (champion.version, champion.address) == (2, "http://127.0.0.1:8600")
    assert champion.created_at.utcoffset() == timedelta(0)
    statuses = {r.version: r.status for r in ledger.releases("toy")}
    assert statuses == {1: "superseded", 2: "serving", 3: "failed"}


def test_another_pipelines_champion_is_left_alone(ledger: Ledger) -> None:
    ledger.set_serving(add_release(ledger, pipeline="other"), "http://a")
    ledger.set_serving(add_release(ledger), "http://b")
    assert ledger.champion("other") is not None


WRITE = """
import sys
from lastmile.ledger.ledger import Ledger
ledger = Ledger(sys.argv[1])
for i in range(25):
    release = ledger.add_release(pipeline="toy", version=i, bundle=sys.argv[2], candidate="c",
        run_id="r", target="process", status="deploying", address=None, reason="")
    ledger.set_serving(release, "http://x")
"""


def test_four_processes_write_at_once_and_nothing_is_lost(ledger_url: str) -> None:
    processes = [
        subprocess.Popen([sys.executable, "-c", WRITE, ledger_url, str(n)], stderr=subprocess.PIPE)
        for n in range(4)
    ]
    errors = [process.communicate()[1].decode() for process in processes]
    assert [p.returncode for p in processes] == [0] * 4, errors
    assert len(Ledger(ledger_url).releases("toy")) == 100


def test_what_a_writer_read_cannot_change_before_it_writes(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    ledger, hasty = Ledger(url), Ledger(url, wait_seconds=0.05)
    add_release(ledger)
    with ledger.begin(), pytest.raises(StoreError, match="database is locked"):
        add_release(hasty)


def test_readers_do_not_wait_for_a_writer(tmp_path: Path) -> None:
    ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    add_release(ledger)
    with ledger.begin() as connection:
        connection.execute(leases.delete())
        started = time.monotonic()
        assert len(ledger.releases("toy")) == 1
        assert time.monotonic() - started < 1


def test_a_hasty_ledger_gives_up_on_a_locked_database_in_time(ledger: Ledger) -> None:
    row = _lease_row()
    hasty = ledger.hastier(0.2)
    assert hasty.releases("toy") == []
    with ledger.begin() as connection:
        connection.execute(leases.insert().values(row))
        started = time.monotonic()
        with pytest.raises(StoreError), hasty.begin() as second:
            second.execute(leases.insert().values(row))
        assert time.monotonic() - started < 1.5


def test_a_failed_transaction_leaves_nothing(ledger: Ledger) -> None:
    add_release(ledger)

    def write_and_fail() -> None:
        with ledger.begin() as connection:
            connection.execute(leases.insert().values(_lease_row()))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_and_fail()
    with ledger.read() as connection:
        assert connection.execute(leases.select()).all() == []


def _lease_row() -> dict[str, Any]:
    now = datetime.now(UTC)
    return {
        "name": "n",
        "holder": "h",
        "host": "h",
        "pid": 1,
        "pid_started": 1.0,
        "expires_at": now,
    }


def test_times_are_utc_whatever_the_database_gives() -> None:
    naive = datetime(2026, 1, 1, 12)  # noqa: DTZ001 - as SQLite gives it
    assert as_utc(naive) == datetime(2026, 1, 1, 12, tzinfo=UTC)
    assert as_utc(naive).tzinfo is UTC
