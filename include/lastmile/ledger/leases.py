"""Leases: a lock in the ledger that a dead holder does not keep.

The row names host, process id and the process's start. Another process on the same host sees at once
that the holder is gone; from elsewhere the lease is free when it has not been renewed in time.
"""

import logging
import os
import socket
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psutil
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from lastmile.errors import BusyError, LastmileError
from lastmile.ledger.engine import as_utc
from lastmile.ledger.tables import leases

if TYPE_CHECKING:
    from lastmile.ledger.ledger import Ledger

log = logging.getLogger(__name__)


@contextmanager
def held_lease(ledger: "Ledger", name: str, what: str, seconds: float) -> Iterator[None]:
    """Take a lease, renew it while the body runs, give it back.

    Raises:
        BusyError: Somebody else holds it.
    """
    holder = uuid.uuid4().hex
    _take(ledger, name, what, holder, seconds)
    stop = threading.Event()
    renewer = threading.Thread(
        target=_renew, args=(ledger, name, holder, seconds, stop), name=f"lease {name}", daemon=True
    )
    renewer.start()
    try:
        yield
    finally:
        stop.set()
        renewer.join()
        _give_back(ledger, name, holder)


def _take(ledger: "Ledger", name: str, what: str, holder: str, seconds: float) -> None:
    now = datetime.now(UTC)
    mine = {
        "holder": holder,
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "pid_started": psutil.Process().create_time(),
        "expires_at": now + timedelta(seconds=seconds),
    }
    try:
        with ledger.begin() as connection:
            connection.execute(leases.insert().values(name=name, **mine))
        return
    except IntegrityError:
        pass
    with ledger.begin() as connection:
        row = connection.execute(sa.select(leases).where(leases.c.name == name)).mappings().first()
        if row is not None and not _is_abandoned(row, now):
            raise BusyError(
                f"{what} is busy: process {row['pid']} on {row['host']} is at it.",
                "Wait until it has ended, then run again.",
            )
        if row is None:
            connection.execute(leases.insert().values(name=name, **mine))
            return
        taken = connection.execute(  # only if nobody was faster
            leases.update()
            .where(leases.c.name == name, leases.c.holder == row["holder"])
            .values(**mine)
        )
    if taken.rowcount != 1:
        raise BusyError(f"{what} is busy: another process was faster.", "Run again later.")


def _give_back(ledger: "Ledger", name: str, holder: str) -> None:
    try:
        with ledger.begin() as connection:
            connection.execute(
                leases.delete().where(leases.c.name == name, leases.c.holder == holder)
            )
    except LastmileError as error:  # what the body did, or raised, is what counts
        log.warning("The lease %s was not given back and runs out by itself: %s", name, error)


def _is_abandoned(row: Any, now: datetime) -> bool:
    if as_utc(row["expires_at"]) < now:
        return True
    if row["host"] != socket.gethostname():
        return False
    try:
        process = psutil.Process(row["pid"])
        return abs(process.create_time() - row["pid_started"]) > 1 or (
            process.status() == psutil.STATUS_ZOMBIE
        )
    except psutil.NoSuchProcess:
        return True


def _renew(ledger: "Ledger", name: str, holder: str, seconds: float, stop: threading.Event) -> None:
    while not stop.wait(seconds / 3):
        try:
            with ledger.begin() as connection:
                renewed = connection.execute(
                    leases.update()
                    .where(leases.c.name == name, leases.c.holder == holder)
                    .values(expires_at=datetime.now(UTC) + timedelta(seconds=seconds))
                )
        except LastmileError:
            continue  # the ledger may answer again before the lease runs out
        if renewed.rowcount == 0:
            log.warning(
                "The lease %s was lost: this process was silent for %.0f s and another took over.",
                name,
                seconds,
            )
            return
