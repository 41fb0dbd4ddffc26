"""An OCI image layout: the folder in which this machine keeps its server bases, each by its digest.

oci-layout      index.json      blobs/sha256/<digest>
"""

import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from pydantic import ValidationError

from lastmile.errors import ArtefactError, StoreError
from lastmile.oci.artefact import Artefact
from lastmile.oci.documents import (
    Descriptor,
    Index,
    digest_of_bytes,
    not_readable,
    read_manifest,
    write_index,
)
from lastmile.oci.image import Image

NAME = "org.opencontainers.image.ref.name"
"""The annotation of the index that gives an image a name."""
MARK = b'{"imageLayoutVersion":"1.0.0"}'

Entries = tuple[Descriptor, ...]


class Layout:
    """One folder. Several processes may read and write it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, digest: str) -> Path:
        """Return where a blob is, or would be."""
        return self._folder / "blobs" / "sha256" / digest.removeprefix("sha256:")

    def read(self, digest: str) -> bytes:
        """Read a blob, verified.

        Raises:
            ArtefactError: It is missing or altered.
        """
        try:
            content = self.path(digest).read_bytes()
        except FileNotFoundError:
            content = b""
        if digest_of_bytes(content) != digest:
            raise ArtefactError(
                f"{self.path(digest)} is missing or altered.", "Make the base anew: make images"
            )
        return content

    def write(self, content: bytes) -> str:
        """Keep a small blob; return its digest."""
        digest = digest_of_bytes(content)
        with self.new_blob() as part:
            part.write(content)
            self.keep(part, digest)
        return digest

    @contextmanager
    def new_blob(self) -> Iterator[BinaryIO]:
        """Give a file to write a blob to; `keep` gives it its place, else it goes.

        Raises:
            StoreError: The folder cannot be written.
        """
        blobs = self._folder / "blobs" / "sha256"
        try:
            blobs.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=blobs, prefix=".part-", delete=False) as part:
                try:
                    yield cast("BinaryIO", part)
                finally:
                    Path(part.name).unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(
                f"{self._folder} cannot be written: {error.strerror or error}.",
                "Free some space and see that this user may write there, or set LASTMILE_HOME.",
            ) from error

    def keep(self, part: BinaryIO, digest: str) -> None:
        """Give a written blob its place. Whoever sees it there sees all of it."""
        part.flush()
        os.fsync(part.fileno())
        Path(part.name).rename(self.path(digest))

    def find(self, name: str) -> Image | None:
        """Return the image of a name, or of a digest; None where there is none.

        Raises:
            ArtefactError: The index or one of the image's documents is altered.
        """
        for entry in self._index().manifests:
            if name in (entry.digest, (entry.annotations or {}).get(NAME)):
                return self._open(entry.digest)
        return None

    def _open(self, digest: str) -> Image:
        manifest = self.read(digest)
        parts = read_manifest(manifest, f"Image {digest}")
        paths = {layer.digest: self.path(layer.digest) for layer in parts.layers}
        files = {layer: path for layer, path in paths.items() if path.is_file()}
        return Image(manifest, self.read(parts.config.digest), files)

    def name(self, image: Image, *names: str) -> None:
        """Keep an image's documents and give it names; they point to no other image then."""
        self.write(image.config)
        self.write(image.manifest)
        entries = tuple(
            image.descriptor.model_copy(update={"annotations": {NAME: name}}) for name in names
        )
        self._update(
            lambda old: (
                *(e for e in old if (e.annotations or {}).get(NAME) not in names),
                *entries,
            )
        )

    def attach(self, artefact: Artefact) -> None:
        """Keep an artefact beside the image that it is about; it replaces one of the same kind."""
        for content in (artefact.config, artefact.content, artefact.manifest):
            self.write(content)
        gone = {a.digest for a in self.attached(artefact.subject.digest) if a.kind == artefact.kind}
        self._update(lambda old: (*(e for e in old if e.digest not in gone), artefact.descriptor))

    def attached(self, digest: str) -> tuple[Artefact, ...]:
        """Return what is kept beside an image.

        Raises:
            ArtefactError: Something of it is missing or altered.
        """
        found = (
            Artefact.read(self.read(entry.digest), self.read)
            for entry in self._index().manifests
            if entry.artifact_type is not None
        )
        return tuple(artefact for artefact in found if artefact.subject.digest == digest)

    # Inside

    def _index(self) -> Index:
        path = self._folder / "index.json"
        try:
            return Index.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return Index()
        except ValidationError as error:
            raise not_readable(str(path), "index of an image layout") from error

    def _update(self, change: Callable[[Entries], Entries]) -> None:
        with self.new_blob() as part, (self._folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            part.write(write_index(change(self._index().manifests)))
            part.flush()
            os.fsync(part.fileno())
            (self._folder / "oci-layout").write_bytes(MARK)
            Path(part.name).rename(self._folder / "index.json")
