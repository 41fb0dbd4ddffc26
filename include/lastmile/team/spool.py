"""The spool: events that the ledger could not take, one file each, until a sweep records them."""

import hashlib
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from lastmile.pipeline.base import Strict
from lastmile.team.events import Event

if TYPE_CHECKING:
    from lastmile.ledger.ledger import Ledger
    from lastmile.team.rules import TeamRules

log = logging.getLogger(__name__)

FOLDER = "spool"


class SpooledEvent(Strict):
    """One file of the spool."""

    key: str
    event: Event


def spool(home: Path, event: Event, key: str) -> Path:
    """Write an event to a file, whole or not at all. The same key twice is one file.

    Raises:
        OSError: The disk does not take it.
    """
    folder = home / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    name = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    path, part = folder / f"{name}.json", folder / f".{name}.{os.getpid()}"
    with part.open("w", encoding="utf-8") as file:
        file.write(SpooledEvent(key=key, event=event).model_dump_json())
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    return path


def sweep_spool(home: Path, ledger: "Ledger", rules: "TeamRules | None" = None) -> int:
    """Record what was spooled, oldest first; returns how many events.

    Two sweeps at once are harmless: events have keys. A file that holds no event is set aside.

    Raises:
        StoreError: The ledger still does not answer; nothing is lost.
    """
    from lastmile.team.record import record

    recorded = 0
    for path in _oldest_first(home / FOLDER):
        try:
            spooled = SpooledEvent.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            continue  # another sweep was faster
        except ValidationError:
            aside = path.replace(path.with_suffix(".unreadable"))
            log.error("%s holds no event of this Lastmile; it is kept, but nobody was told.", aside)
            continue
        record(ledger, spooled.event, spooled.key, rules)
        path.unlink(missing_ok=True)
        recorded += 1
    return recorded


def _oldest_first(folder: Path) -> list[Path]:
    def written(path: Path) -> float:
        try:
            return path.stat().st_mtime
        except FileNotFoundError:
            return 0.0

    return sorted(folder.glob("*.json"), key=written) if folder.is_dir() else []
