"""The store: immutable artefacts addressed by content, and small documents addressed by name.

An artefact is a folder of files. Its manifest lists every file with its SHA-256 and size; the SHA-256
of the manifest is the artefact's digest and its name in the store. The manifest is written last, so
an artefact without one was cut off half way and does not exist. Nothing is read from an artefact
before its bytes were compared with the manifest.

    artefacts/<digest>/<file>...        artefacts/<digest>/manifest.json
    runs/<pipeline>/<run_id>/<stage>.json   what each stage of a run did
    reuse/<pipeline>/<stage>/<key>.json     which result a stage may take over
"""

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import fsspec
from pydantic import ValidationError

from lastmile.errors import ArtefactError, SettingsError, StoreError
from lastmile.pipeline.base import Strict

MANIFEST = "manifest.json"
CHUNK_BYTES = 1 << 20

Document = TypeVar("Document", bound=Strict)


class StoredFile(Strict):
    """One file of an artefact."""

    sha256: str
    size: int


class Manifest(Strict):
    """What an artefact holds. Its own digest is the artefact's."""

    kind: str
    """The stage that made it."""
    files: dict[str, StoredFile]

    def to_bytes(self) -> bytes:
        """Return the canonical form: sorted keys, no blanks, so that equal content has one digest."""
        return canonical_json(self.model_dump(mode="json"))

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical form, in hex."""
        return hashlib.sha256(self.to_bytes()).hexdigest()


class ArtefactRef(Strict):
    """Points at an artefact; small enough for an XCom."""

    kind: str
    digest: str

    def __str__(self) -> str:
        return f"{self.kind}@{self.digest[:12]}"


def canonical_json(value: Any) -> bytes:
    """Encode a value so that equal values give equal bytes."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def digest_of(value: Any) -> str:
    """SHA-256 of a JSON value's canonical form, in hex."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Store:
    """Object storage behind fsspec. Local paths and buckets behave the same."""

    def __init__(self, url: str, cache: Path) -> None:
        """Connect nothing yet.

        Args:
            url: An fsspec URL of a folder, `file:///...`, `s3://bucket/prefix`, ...
            cache: A local folder that verified artefacts may be kept in.
        """
        self.url = url.rstrip("/")
        self._cache = cache
        self._is_local = urlsplit(url).scheme in ("", "file")
        try:
            self._fs, self._base = fsspec.core.url_to_fs(self.url)
        except (ValueError, ImportError) as error:
            raise SettingsError(
                f"The store's URL {url!r} cannot be used: {error}",
                "Set LASTMILE_STORE_URL to a URL such as file:///data/store or s3://bucket/prefix.",
            ) from error

    # Artefacts

    def put_artefact(self, kind: str, folder: Path) -> ArtefactRef:
        """Store a folder's files as one artefact; the same content twice is stored once.

        Raises:
            StoreError: The store cannot be written.
        """
        files = {
            path.relative_to(folder).as_posix(): StoredFile(
                sha256=file_digest(path), size=path.stat().st_size
            )
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
        manifest = Manifest(kind=kind, files=files)
        ref = ArtefactRef(kind=kind, digest=manifest.digest)
        with self._reporting(f"store {ref}"):
            if not self.has_artefact(ref):  # an altered one is mended
                for name in files:
                    self._upload(folder / name, self._path(ref, name))
                self._write(self._path(ref, MANIFEST), manifest.to_bytes())
        return ref

    def open_artefact(self, ref: ArtefactRef) -> Path:
        """Return a local folder with the artefact's files, every byte verified.

        Raises:
            ArtefactError: It is missing, incomplete or altered.
            StoreError: The store cannot be read.
        """
        manifest = self.read_manifest(ref)
        folder = self._local_folder(ref)
        for name, expected in manifest.files.items():
            path = folder / name
            if not self._is_local and not (path.is_file() and file_digest(path) == expected.sha256):
                self._download(ref, name, path)
            if not path.is_file() or file_digest(path) != expected.sha256:
                raise ArtefactError(
                    f"{name} of {ref} is {'altered' if path.is_file() else 'missing'}.",
                    "The artefact is not used. Run its stage again with --force to make a sound one.",
                )
        return folder

    def read_manifest(self, ref: ArtefactRef) -> Manifest:
        """Return an artefact's manifest, verified against its digest.

        Raises:
            ArtefactError: It is missing or altered.
        """
        with self._reporting(f"read {ref}"):
            try:
                raw = self._fs.cat_file(self._path(ref, MANIFEST))
            except FileNotFoundError as error:
                raise ArtefactError(
                    f"{ref} is not in the store {self.url}.",
                    "It was never finished or has been deleted; run its stage again.",
                ) from error
        if hashlib.sha256(raw).hexdigest() != ref.digest:
            raise ArtefactError(
                f"The manifest of {ref} is altered.",
                "The artefact is not used. Run its stage again with --force to make a sound one.",
            )
        return Manifest.model_validate_json(raw)

    def has_artefact(self, ref: ArtefactRef) -> bool:
        """Tell whether the artefact is there, complete and unaltered."""
        try:
            self.open_artefact(ref)
        except ArtefactError:
            return False
        return True

    # Documents

    def write_document(self, name: str, document: Strict) -> None:
        """Write a named document; a reader sees the old one or the new one, never a half."""
        with self._reporting(f"write {name}"):
            self._write(f"{self._base}/{name}", document.model_dump_json(indent=1).encode())

    def read_document(self, name: str, model: type[Document]) -> Document | None:
        """Read a named document, or None where there is none.

        Raises:
            ArtefactError: It is there and does not fit the model.
        """
        with self._reporting(f"read {name}"):
            try:
                raw = self._fs.cat_file(f"{self._base}/{name}")
            except FileNotFoundError:
                return None
        try:
            return model.model_validate_json(raw)
        except ValidationError as error:
            raise ArtefactError(
                f"{name} in the store is no {model.__name__}: {error.error_count()} faults.",
                "It was altered or written by another version. Delete it; its stage makes it anew.",
            ) from error

    def list_documents(self, folder: str) -> list[str]:
        """Return the names of the documents in a folder, sorted."""
        with self._reporting(f"list {folder}"):
            if not self._fs.exists(f"{self._base}/{folder}"):
                return []
            found = self._fs.find(f"{self._base}/{folder}")
        return sorted(str(path).removeprefix(f"{self._base}/") for path in found)

    # Bytes, for checkpoints

    def write_bytes(self, name: str, content: bytes) -> None:
        """Write a named object whole or not at all."""
        with self._reporting(f"write {name}"):
            self._write(f"{self._base}/{name}", content)

    def read_bytes(self, name: str) -> bytes | None:
        """Read a named object, or None where there is none."""
        with self._reporting(f"read {name}"):
            try:
                content = self._fs.cat_file(f"{self._base}/{name}")
            except FileNotFoundError:
                return None
        assert isinstance(content, bytes)  # noqa: S101 - fsspec has no types
        return content

    def delete(self, folder: str) -> None:
        """Delete everything below a folder; nothing there is fine."""
        with self._reporting(f"delete {folder}"):
            if self._fs.exists(f"{self._base}/{folder}"):
                self._fs.rm(f"{self._base}/{folder}", recursive=True)

    # Inside

    def _path(self, ref: ArtefactRef, name: str) -> str:
        return f"{self._base}/artefacts/{ref.digest}/{name}"

    def _local_folder(self, ref: ArtefactRef) -> Path:
        if self._is_local:
            return Path(self._base) / "artefacts" / ref.digest
        return self._cache / ref.digest

    def _upload(self, source: Path, path: str) -> None:
        if self._is_local:
            self._write_local(Path(path), source)
        else:
            self._fs.put_file(str(source), path)

    def _download(self, ref: ArtefactRef, name: str, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._reporting(f"read {name} of {ref}"):
            part = path.with_name(f".{path.name}.{os.getpid()}")
            try:
                self._fs.get_file(self._path(ref, name), str(part))
            except FileNotFoundError:
                return  # the caller names the missing file
            part.replace(path)

    def _write(self, path: str, content: bytes) -> None:
        if self._is_local:
            self._write_local(Path(path), content)
        else:
            self._fs.pipe_file(path, content)

    def _write_local(self, path: Path, content: bytes | Path) -> None:
        """Write beside, flush to disk, rename: a killed writer leaves no half file under the name."""
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, part = tempfile.mkstemp(dir=path.parent, prefix=".part-")
        try:
            with os.fdopen(handle, "wb") as file:
                if isinstance(content, Path):
                    with content.open("rb") as source:
                        shutil.copyfileobj(source, file, CHUNK_BYTES)
                else:
                    file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(part).chmod(0o644)
            Path(part).replace(path)
        except BaseException:
            Path(part).unlink(missing_ok=True)
            raise

    @contextmanager
    def _reporting(self, verb: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise _store_error(verb, self.url, error) from error


def _store_error(verb: str, url: str, error: OSError) -> StoreError | SettingsError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreError(
            f"Cannot {verb}: the store {url} is full.", "Free some space, then run again."
        )
    if isinstance(error, PermissionError) or error.errno in (errno.EROFS, errno.ENOTDIR):
        return SettingsError(
            f"Cannot {verb}: {error.strerror or error} ({url}).",
            "Give this user the right to write there, or set LASTMILE_STORE_URL to another place.",
        )
    return StoreError(f"Cannot {verb}: {error} ({url}).", "See that the store answers; run again.")
