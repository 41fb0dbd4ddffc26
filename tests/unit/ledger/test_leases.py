"""Leases: a live holder is respected, a dead or silent one is not."""

import logging
import os
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import psutil
import pytest
import sqlalchemy as sa

from lastmile.errors import BusyError
from lastmile.ledger.ledger import Ledger
from lastmile.ledger.tables import leases

HOLD = """
import sys, time
from lastmile.ledger.ledger import Ledger
with Ledger(sys.argv[1]).lease("target", "The target"):
    print("held", flush=True)
    time.sleep(60)
"""


def add_lease(ledger: Ledger, **values: Any) -> None:
    row = {
        "name": "target",
        "holder": "somebody",
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "pid_started": psutil.Process().create_time(),
        "expires_at": datetime.now(UTC) + timedelta(seconds=60),
    }
    with ledger.begin() as connection:
        connection.execute(leases.insert().values(row | values))


def held(ledger: Ledger) -> list[str]:
    with ledger.read() as connection:
        return list(connection.execute(sa.select(leases.c.holder)).scalars())


def test_a_live_holder_is_refused_by_name_and_gone_afterwards(ledger: Ledger) -> None:
    with ledger.lease("target", "The target"):
        busy = f"The target is busy: process {os.getpid()} on {socket.gethostname()}"
        with pytest.raises(BusyError, match=busy), ledger.lease("target", "The target"):
            pass
    assert held(ledger) == []
    with ledger.lease("target", "The target"):
        pass


def test_the_lease_of_a_killed_process_is_taken_over_at_once(ledger_url: str) -> None:
    ledger = Ledger(ledger_url)
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, ledger_url], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(BusyError), ledger.lease("target", "The target"):
            pass
        process.kill()
        process.wait()
        with ledger.lease("target", "The target"):
            assert held(ledger) != []


def test_a_process_that_got_the_number_of_a_dead_holder_is_not_the_holder(ledger: Ledger) -> None:
    add_lease(ledger, pid_started=psutil.Process().create_time() - 1000)
    with ledger.lease("target", "The target"):
        pass


def test_a_holder_elsewhere_is_respected_until_its_lease_runs_out(ledger: Ledger) -> None:
    add_lease(ledger, host="elsewhere", pid=1)
    with pytest.raises(BusyError, match="elsewhere"), ledger.lease("target", "The target"):
        pass
    with ledger.begin() as connection:
        connection.execute(leases.update().values(expires_at=datetime.now(UTC)))
    with ledger.lease("target", "The target"):
        pass


def test_a_lease_is_renewed_while_its_holder_works(ledger_url: str) -> None:
    ledger = Ledger(ledger_url, lease_seconds=0.3)
    with ledger.lease("target", "The target"):
        time.sleep(0.6)
        with pytest.raises(BusyError), ledger.lease("target", "The target"):
            pass


def test_a_holder_that_lost_its_lease_leaves_the_new_one_alone_and_says_so(
    ledger_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = Ledger(ledger_url, lease_seconds=0.3)
    with caplog.at_level(logging.WARNING), ledger.lease("target", "The target"):
        with ledger.begin() as connection:
            connection.execute(leases.update().values(holder="another"))
        time.sleep(0.3)
    assert "The lease target was lost" in caplog.text
    assert held(ledger) == ["another"]


def test_a_ledger_that_went_away_does_not_hide_what_the_holder_did(
    tmp_path: Any, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "ledger.db"
    ledger = Ledger(f"sqlite:///{file}", wait_seconds=0.1)

    def lose_the_ledger_and_fail() -> None:
        with ledger.lease("target", "The target"):
            for path in tmp_path.glob("ledger.db*"):
                path.unlink()
            file.write_bytes(b"no database" * 1000)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        lose_the_ledger_and_fail()
    assert "was not given back" in caplog.text
