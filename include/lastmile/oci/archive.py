"""An image as one tar that an engine loads: in the form of OCI and in Docker's own, sharing the blobs.

Engines with containerd's store read `index.json` and keep the digest; the others read `manifest.json` and
know the image by its config's digest. Layers that such an engine has already may be left out.
"""

import tarfile
from collections.abc import Collection
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from lastmile.errors import ArtefactError
from lastmile.oci.documents import write_index
from lastmile.oci.image import Image
from lastmile.oci.layout import MARK
from lastmile.store import canonical_json


def write_archive(
    image: Image, target: BinaryIO, *, name: str, leave_out: Collection[str] = ()
) -> None:
    """Write the archive.

    Args:
        image: What to load.
        target: Where to.
        name: What the engine shall call it, `repository:tag`.
        leave_out: Digests of layers that the engine has.

    Raises:
        ArtefactError: A layer is not on this machine.
    """
    listed = canonical_json(
        [
            {
                "Config": _place(image.config_digest),
                "RepoTags": [name],
                "Layers": [_place(layer.digest) for layer in image.layers],
            }
        ]
    )
    entry = image.descriptor.model_copy(
        update={"annotations": {"io.containerd.image.name": f"docker.io/{name}"}}
    )
    with tarfile.open(fileobj=target, mode="w|", format=tarfile.PAX_FORMAT) as archive:
        _add(archive, "oci-layout", MARK)
        _add(archive, _place(image.digest), image.manifest)
        _add(archive, _place(image.config_digest), image.config)
        for layer in image.layers:
            if layer.digest not in leave_out:
                _add_file(archive, _place(layer.digest), image.files.get(layer.digest))
        _add(archive, "index.json", write_index((entry,)))
        _add(archive, "manifest.json", listed)


def _place(digest: str) -> str:
    return f"blobs/sha256/{digest.removeprefix('sha256:')}"


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    archive.addfile(entry, BytesIO(content))


def _add_file(archive: tarfile.TarFile, name: str, path: Path | None) -> None:
    if path is None or not path.is_file():
        raise ArtefactError(
            f"Layer {name.rpartition('/')[2]} is not on this machine.",
            "Make the server base here: make images",
        )
    entry = tarfile.TarInfo(name)
    with path.open("rb") as file:
        entry.size = path.stat().st_size
        archive.addfile(entry, file)
