"""Bundles on the serving machine: verified copies, one folder per digest.

A copy holds its manifest, whose SHA-256 is the digest: it can be verified, and served again after a
reboot, while the store does not answer.
"""

import hashlib
import logging
import os
import shutil
from collections.abc import Collection
from pathlib import Path

from lastmile.errors import ArtefactError, DeployError
from lastmile.store import MANIFEST, ArtefactRef, Manifest, Store, file_digest

log = logging.getLogger(__name__)


def install(store: Store, digest: str, bundles: Path) -> Path:
    """Return the folder of a bundle's copy, verified; made or mended where need be.

    Raises:
        ArtefactError: The bundle is missing or altered in the store.
        StoreError: The store does not answer, and there is no sound copy yet.
        DeployError: It cannot be written here.
    """
    folder = bundles / digest
    if is_sound(folder):
        return folder
    ref = ArtefactRef(kind="train", digest=digest)
    manifest, source = store.read_manifest(ref), store.open_artefact(ref)
    try:
        _copy(source, folder, manifest)
    except OSError as error:
        raise DeployError(
            f"The bundle cannot be copied to {folder}: {error.strerror or error}.",
            "Free some space, and see that this user may write there.",
        ) from error
    if not is_sound(folder):
        raise ArtefactError(
            f"The copy of {ref} in {folder} is not what the store holds.",
            "Look at the disk: what was written is not what was read back.",
        )
    return folder


def is_sound(folder: Path) -> bool:
    """Tell whether a folder holds all that its name, the bundle's digest, stands for, unaltered."""
    try:
        raw = (folder / MANIFEST).read_bytes()
        return hashlib.sha256(raw).hexdigest() == folder.name and all(
            file_digest(folder / name) == expected.sha256
            for name, expected in Manifest.model_validate_json(raw).files.items()
        )
    except OSError:  # a file is missing, or cannot be read
        return False


def _copy(source: Path, folder: Path, manifest: Manifest) -> None:
    """Copy beside, then rename: a killed copier leaves no half folder under the digest."""
    part = folder.with_name(f".part-{folder.name[:12]}-{os.getpid()}")
    shutil.rmtree(part, ignore_errors=True)
    for name in manifest.files:
        (part / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / name, part / name)
    (part / MANIFEST).write_bytes(manifest.to_bytes())
    if folder.exists():  # altered; a server that runs has it in memory
        log.warning("The bundle in %s was altered; it is replaced from the store.", folder)
        altered = part.with_name(f"{part.name}-altered")
        folder.rename(altered)
        shutil.rmtree(altered, ignore_errors=True)
    part.rename(folder)


def discard(bundles: Path, keep: Collection[str]) -> None:
    """Delete all bundles but these, and what killed copiers left."""
    if bundles.is_dir():
        for folder in bundles.iterdir():
            if folder.name not in keep:
                shutil.rmtree(folder, ignore_errors=True)
