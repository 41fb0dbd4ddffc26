"""Bundles on the serving machine: verified copies, one folder per digest."""

import logging
import os
import shutil
from collections.abc import Collection
from pathlib import Path

from lastmile.errors import ArtefactError, DeployError
from lastmile.store import ArtefactRef, Manifest, Store, file_digest

log = logging.getLogger(__name__)


def install(store: Store, digest: str, bundles: Path) -> Path:
    """Return the folder of a bundle's copy, verified; made or mended where need be.

    Raises:
        ArtefactError: The bundle is missing or altered in the store.
        DeployError: It cannot be written here.
    """
    ref = ArtefactRef(kind="train", digest=digest)
    manifest = store.read_manifest(ref)
    folder = bundles / digest
    if is_sound(folder, manifest):
        return folder
    source = store.open_artefact(ref)
    try:
        _copy(source, folder, manifest)
    except OSError as error:
        raise DeployError(
            f"The bundle cannot be copied to {folder}: {error.strerror or error}.",
            "Free some space, and see that this user may write there.",
        ) from error
    if not is_sound(folder, manifest):
        raise ArtefactError(
            f"The copy of {ref} in {folder} is not what the store holds.",
            "Look at the disk: what was written is not what was read back.",
        )
    return folder


def is_sound(folder: Path, manifest: Manifest) -> bool:
    """Tell whether a folder holds every file of a manifest, unaltered."""
    return all(
        (folder / name).is_file() and file_digest(folder / name) == expected.sha256
        for name, expected in manifest.files.items()
    )


def _copy(source: Path, folder: Path, manifest: Manifest) -> None:
    """Copy beside, then rename: a killed copier leaves no half folder under the digest."""
    part = folder.with_name(f".part-{folder.name[:12]}-{os.getpid()}")
    shutil.rmtree(part, ignore_errors=True)
    for name in manifest.files:
        (part / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / name, part / name)
    if folder.exists():  # altered; a server that runs has it in memory
        log.warning("The bundle in %s was altered; it is replaced from the store.", folder)
        folder.rename(folder.with_name(f".part-old-{folder.name[:12]}-{os.getpid()}"))
    part.rename(folder)


def discard(bundles: Path, keep: Collection[str]) -> None:
    """Delete all bundles but these, and what killed copiers left."""
    if bundles.is_dir():
        for folder in bundles.iterdir():
            if folder.name not in keep:
                shutil.rmtree(folder, ignore_errors=True)
