"""From what an engine saves of an image to the same image as OCI has it, its layers packed."""

import gzip
import hashlib
import json
import tarfile
from pathlib import Path
from typing import IO, Any

from lastmile.errors import ArtefactError
from lastmile.oci.documents import (
    CONFIG_TYPE,
    LAYER_TYPE,
    Descriptor,
    describe,
    not_readable,
    read_config,
    write_manifest,
)
from lastmile.oci.image import Image
from lastmile.oci.layout import Layout

CHUNK_BYTES = 1 << 20
LEVEL = 6
"""Of gzip: from 6 to 9 the server base shrinks by a hundredth and takes three times as long."""


def import_saved(archive: Path, layout: Layout) -> Image:
    """Take an image out of an engine's archive.

    Its config stays as it is, so the engine goes on knowing the image by the same id.

    Raises:
        ArtefactError: The archive holds no image, or one whose layers are not what its config says.
        StoreError: The layout cannot be written.
    """
    try:
        with tarfile.open(archive) as saved:
            config, layers = _read(saved, layout)
    except tarfile.TarError as error:
        raise not_readable(f"What the engine saved ({error})", "archive of one image") from error
    manifest = write_manifest(describe(CONFIG_TYPE, config), layers)
    return Image(manifest, config, {layer.digest: layout.path(layer.digest) for layer in layers})


def _read(saved: tarfile.TarFile, layout: Layout) -> tuple[bytes, tuple[Descriptor, ...]]:
    listed = _read_listing(saved)
    config = _member(saved, listed["Config"]).read()
    diff_ids = read_config(config, "The saved image's config")["rootfs"]["diff_ids"]
    if len(diff_ids) != len(listed["Layers"]):
        raise not_readable("What the engine saved", "whole image")
    layers = zip(listed["Layers"], diff_ids, strict=True)
    return config, tuple(_pack(_member(saved, name), diff_id, layout) for name, diff_id in layers)


def _read_listing(saved: tarfile.TarFile) -> dict[str, Any]:
    try:
        (listed,) = json.load(_member(saved, "manifest.json"))
        return {"Config": str(listed["Config"]), "Layers": [str(n) for n in listed["Layers"]]}
    except (ValueError, KeyError, TypeError) as error:
        raise not_readable("What the engine saved", "archive of one image") from error


def _member(saved: tarfile.TarFile, name: str) -> IO[bytes]:
    try:
        file = saved.extractfile(name)
    except KeyError:
        file = None
    if file is None:
        raise not_readable(f"{name} in what the engine saved", "file")
    return file


def _pack(source: IO[bytes], diff_id: str, layout: Layout) -> Descriptor:
    """Pack one layer, or keep it packed as the engine gave it; verify what is inside."""
    plain, packed, size = hashlib.sha256(), hashlib.sha256(), 0
    is_packed = source.read(2) == b"\x1f\x8b"
    source.seek(0)
    with layout.new_blob() as part:
        if is_packed:
            while chunk := source.read(CHUNK_BYTES):
                part.write(chunk)
        else:
            with gzip.GzipFile("", "wb", LEVEL, part, mtime=0) as packer:
                while chunk := source.read(CHUNK_BYTES):
                    packer.write(chunk)
        part.seek(0)
        while chunk := part.read(CHUNK_BYTES):
            packed.update(chunk)
            size += len(chunk)
        part.seek(0)
        with gzip.GzipFile("", "rb", fileobj=part) as unpacked:
            while chunk := unpacked.read(CHUNK_BYTES):
                plain.update(chunk)
        if f"sha256:{plain.hexdigest()}" != diff_id:
            raise ArtefactError(
                f"A layer of the saved image is sha256:{plain.hexdigest()}, not {diff_id}.",
                "The engine's storage may be damaged. Build the image anew: make images",
            )
        digest = f"sha256:{packed.hexdigest()}"
        layout.keep(part, digest)
    return Descriptor(media_type=LAYER_TYPE, digest=digest, size=size)
