"""Checkpoints in the store: arrays without pickle, and a head that says what they must be.

    checkpoints/<pipeline>/<key>/<step>-<epoch>.npz     weights, optimiser, best weights, progress
    checkpoints/<pipeline>/<key>/<step>-<epoch>.json    the head: SHA-256 and size; written last

A checkpoint without a head, or whose bytes are not what its head says, is refused; then the one before
it is used, which is kept for that. The key is the digest of all that training depends on.
"""

import hashlib
import io
import json
import logging
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from lastmile.errors import ArtefactError
from lastmile.pipeline.base import Strict
from lastmile.store import Store
from lastmile.train.gang.progress import Progress

log = logging.getLogger(__name__)

KEPT = 2
"""The newest, and the one before it should the newest be damaged."""
PROGRESS = "progress"

Arrays = list[npt.NDArray[np.generic]]


class Head(Strict):
    """What a checkpoint must be."""

    format: int = 1
    step: int
    epoch: int
    size: int
    sha256: str


@dataclass
class Snapshot:
    """A training at one moment."""

    progress: Progress
    groups: dict[str, Arrays] = field(default_factory=dict)
    """`weights`, `optimizer` and `best`, each in the model's own order."""


class Checkpoints:
    """The checkpoints of one training."""

    def __init__(self, store: Store, folder: str) -> None:
        self._store = store
        self._folder = folder

    def save(self, snapshot: Snapshot) -> None:
        """Store a snapshot, then drop all but the newest two.

        Raises:
            StoreError: The store cannot be written; the checkpoints before stay as they are.
        """
        content = _pack(snapshot)
        head = Head(
            step=snapshot.progress.step,
            epoch=snapshot.progress.epoch,
            size=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
        )
        name = f"{self._folder}/{head.step:012d}-{head.epoch:06d}"
        self._store.write_bytes(f"{name}.npz", content)
        self._store.write_document(f"{name}.json", head)
        for old in self._names()[KEPT:]:
            self._store.delete(f"{old}.json")
            self._store.delete(f"{old}.npz")

    def load(self) -> Snapshot | None:
        """Return the newest sound snapshot, or None.

        Raises:
            StoreError: The store cannot be read.
        """
        for name in self._names():
            try:
                return self._read(name)
            except ArtefactError as error:
                log.warning("%s %s", error.headline, error.hint)
        return None

    def _names(self) -> list[str]:
        """Return the checkpoints that have a head, the newest first, without suffix."""
        found = self._store.list_documents(self._folder)
        heads = [name.removesuffix(".json") for name in found if name.endswith(".json")]
        return sorted((n for n in heads if n.rpartition("/")[2][:1].isdigit()), reverse=True)

    def _read(self, name: str) -> Snapshot:
        head = self._store.read_document(f"{name}.json", Head)
        content = self._store.read_bytes(f"{name}.npz")
        if head is None or content is None:
            raise ArtefactError(f"Checkpoint {name} is incomplete.", "The one before it is used.")
        if len(content) != head.size or hashlib.sha256(content).hexdigest() != head.sha256:
            raise ArtefactError(
                f"Checkpoint {name} is not what its head says ({len(content)} of {head.size} bytes).",
                "It was cut off or altered; the one before it is used.",
            )
        return _unpack(content)


def _pack(snapshot: Snapshot) -> bytes:
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {
        f"{group}.{index}": array
        for group, members in snapshot.groups.items()
        for index, array in enumerate(members)
    }
    progress = json.dumps(snapshot.progress.to_json()).encode()
    arrays[PROGRESS] = np.frombuffer(progress, dtype=np.uint8)
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def _unpack(content: bytes) -> Snapshot:
    groups: dict[str, Arrays] = {}
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        for name in arrays.files:  # in the order in which they were written
            if name != PROGRESS:
                groups.setdefault(name.partition(".")[0], []).append(arrays[name])
        progress = Progress.from_json(json.loads(arrays[PROGRESS].tobytes()))
    return Snapshot(progress, groups)
