"""One layer with a model's files: the same files give the same bytes, on any machine, with any zlib."""

import hashlib
import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from lastmile.errors import ArtefactError
from lastmile.oci.documents import LAYER_TYPE, Descriptor

OWNER = 10001
"""The user and group that every image runs as."""
FILE_MODE, FOLDER_MODE = 0o444, 0o555
CHUNK_BYTES = 1 << 20

_GZIP_HEAD = bytes([0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 0xFF])
"""No name, time 0, no operating system."""
_BLOCK_BYTES = 0xFFFF


class StoredGzip:
    """A gzip stream whose blocks are stored, not deflated.

    How deflate packs differs between zlib's versions and its forks; stored blocks have one form only.
    Weights hardly shrink (8 % of a large model), and a release would wait for the attempt.
    """

    def __init__(self, target: BinaryIO) -> None:
        self._target = target
        self._pending = b""
        self._crc = 0
        self._inside = hashlib.sha256()
        self._outside = hashlib.sha256()
        self._inner_bytes = 0
        self.size = 0
        """Bytes written, as stored."""
        self._put(_GZIP_HEAD)

    def write(self, content: bytes) -> int:
        """Take content of any length; tarfile calls it."""
        self._inside.update(content)
        self._crc = zlib.crc32(content, self._crc)
        self._inner_bytes += len(content)
        waiting = self._pending + content if self._pending else content
        whole = len(waiting) - len(waiting) % _BLOCK_BYTES
        with memoryview(waiting) as blocks:
            for start in range(0, whole, _BLOCK_BYTES):
                self._put_block(blocks[start : start + _BLOCK_BYTES], is_last=False)
            self._pending = bytes(blocks[whole:])
        return len(content)

    def finish(self) -> None:
        """Write the last block and gzip's trailer."""
        self._put_block(memoryview(self._pending), is_last=True)
        self._put(self._crc.to_bytes(4, "little"))
        self._put((self._inner_bytes & 0xFFFFFFFF).to_bytes(4, "little"))

    @property
    def digest(self) -> str:
        """Digest of the stream."""
        return f"sha256:{self._outside.hexdigest()}"

    @property
    def diff_id(self) -> str:
        """Digest of what is inside it."""
        return f"sha256:{self._inside.hexdigest()}"

    def _put_block(self, content: memoryview, *, is_last: bool) -> None:
        length = len(content)
        head = bytes([is_last]) + length.to_bytes(2, "little")
        self._put(head + (length ^ 0xFFFF).to_bytes(2, "little"))
        self._put(content)

    def _put(self, content: bytes | memoryview) -> None:
        self._outside.update(content)
        self.size += len(content)
        self._target.write(content)


@dataclass(frozen=True, slots=True)
class LayerFile:
    """A file that goes into the layer."""

    path: Path
    """Where it is now."""
    sha256: str
    """What its bytes must be."""


def write_layer(target: Path, files: Mapping[str, LayerFile | bytes]) -> tuple[Descriptor, str]:
    """Write a layer.

    Args:
        target: The file to write.
        files: By their absolute place in the image, without the leading slash.

    Returns:
        Its descriptor and its diff id.

    Raises:
        ArtefactError: A file is not what its digest says.
    """
    with target.open("wb") as out:
        stream = StoredGzip(out)
        with tarfile.open(  # type: ignore[call-overload]
            fileobj=stream,
            mode="w|",
            format=tarfile.PAX_FORMAT,
            bufsize=CHUNK_BYTES,
            copybufsize=CHUNK_BYTES,
        ) as archive:
            for folder in _folders(files):
                archive.addfile(_entry(folder, tarfile.DIRTYPE, FOLDER_MODE))
            for name in sorted(files):
                _add(archive, name, files[name])
        stream.finish()
    return (
        Descriptor(media_type=LAYER_TYPE, digest=stream.digest, size=stream.size),
        stream.diff_id,
    )


def _folders(files: Mapping[str, LayerFile | bytes]) -> list[str]:
    parents = {str(parent) for name in files for parent in Path(name).parents}
    return sorted(parents - {"."})


def _entry(name: str, kind: bytes, mode: int, size: int = 0) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode, entry.size = kind, mode, size
    entry.uid = entry.gid = OWNER
    entry.mtime = 0
    return entry


def _add(archive: tarfile.TarFile, name: str, content: LayerFile | bytes) -> None:
    if isinstance(content, bytes):
        entry = _entry(name, tarfile.REGTYPE, FILE_MODE, len(content))
        archive.addfile(entry, BytesIO(content))
        return
    try:
        with content.path.open("rb") as file:
            size = content.path.stat().st_size
            source = _Hashing(file)
            archive.addfile(_entry(name, tarfile.REGTYPE, FILE_MODE, size), source)
            is_sound = source.hexdigest() == content.sha256
    except FileNotFoundError:
        is_sound = False
    if not is_sound:
        raise ArtefactError(
            f"{content.path} is not the file that its digest, {content.sha256[:12]}, names.",
            "The image is not made. Run the stage that made the file again, with --force.",
        )


class _Hashing:
    """Reads a file and hashes what was read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        content = self._file.read(size)
        self._hash.update(content)
        return content

    def hexdigest(self) -> str:
        return self._hash.hexdigest()
