"""From a file as it came to a plain UTF-8 file on the local disk, in bounded memory."""

import bz2
import codecs
import contextlib
import gzip
import lzma
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from lastmile.errors import DataError

CHUNK_BYTES = 1 << 20
MAX_RATIO = 1000
"""A file that grows more than this when unpacked is a bomb (deflate's own limit is 1032)."""
RATIO_FROM_BYTES = 1 << 28
MOST_SHOWN = 5

Opener = Callable[[Path], IO[bytes]]


def _open_zst(path: Path) -> Any:
    import pyarrow as pa

    return pa.CompressedInputStream(pa.OSFile(str(path)), "zstd")


def _open_gz(path: Path) -> Any:
    return gzip.open(path, "rb")


def _open_bz2(path: Path) -> Any:
    return bz2.open(path, "rb")


def _open_xz(path: Path) -> Any:
    return lzma.open(path, "rb")


def _open_zip(path: Path) -> IO[bytes]:
    archive = zipfile.ZipFile(path)
    # macOS packs a file's attributes beside it.
    members = [m for m in archive.infolist()
               if not m.is_dir() and not m.filename.startswith("__MACOSX/")]  # fmt: skip
    if len(members) != 1:
        names = ", ".join(m.filename for m in members[:MOST_SHOWN]) or "nothing"
        more = f" and {len(members) - MOST_SHOWN} more" if len(members) > MOST_SHOWN else ""
        raise DataError(
            f"{path}: {len(members)} files are packed in it ({names}{more}), where one is read.",
            "Pack each CSV file by itself, and read several by a glob.",
        )
    return archive.open(members[0])


OPENERS: dict[str, Opener] = {
    ".gz": _open_gz, ".bz2": _open_bz2, ".xz": _open_xz, ".zst": _open_zst, ".zip": _open_zip,
}  # fmt: skip
"""By the suffix in lower case."""
UNREADABLE = (
    OSError, EOFError, lzma.LZMAError, zlib.error,
    zipfile.BadZipFile, NotImplementedError, RuntimeError,  # a method or a password, of zip
)  # fmt: skip
"""What the openers and their streams raise for a file that is not what its suffix says."""


def as_plain_utf8(file: Path, encoding: str, scratch: Path) -> Path:
    """Return the file itself where it is plain UTF-8 already, else a copy in the scratch folder.

    Raises:
        DataError: It cannot be unpacked, or its bytes are not in the declared encoding.
    """
    try:
        codec = codecs.lookup(encoding).name
    except LookupError:
        raise DataError(
            f"{file}: there is no encoding called {encoding!r}.",
            "Name one that Python knows, such as utf-8, latin-1 or cp1252.",
        ) from None
    opener = OPENERS.get(file.suffix.lower())
    plain = file if opener is None else _unpack(file, opener, scratch)
    if codec in ("utf-8", "ascii"):
        return plain
    try:
        return _transcode(plain, codec, scratch, str(file))
    finally:
        if plain != file:
            plain.unlink()


@contextlib.contextmanager
def _new_file(scratch: Path) -> Iterator[IO[bytes]]:
    """Open a file of its own in the scratch folder; where writing it fails it goes again."""
    with tempfile.NamedTemporaryFile(dir=scratch, suffix=".csv", delete=False) as file:
        try:
            yield file
        except BaseException:
            Path(file.name).unlink()
            raise


def _unpack(file: Path, opener: Opener, scratch: Path) -> Path:
    limit = max(RATIO_FROM_BYTES, MAX_RATIO * file.stat().st_size)
    try:
        with contextlib.closing(opener(file)) as source, _new_file(scratch) as target:
            while chunk := source.read(CHUNK_BYTES):
                target.write(chunk)
                if target.tell() > limit:
                    raise DataError(
                        f"{file}: unpacks to more than {MAX_RATIO} times its size.",
                        "No table packs that well; look at what wrote it.",
                    )
    except UNREADABLE as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk's fault, not the file's
        raise DataError(
            f"{file}: cannot be unpacked: {error}",
            f"It is cut off, or no {file.suffix} file. Fetch it anew.",
        ) from error
    return Path(target.name)


def _transcode(plain: Path, codec: str, scratch: Path, name: str) -> Path:
    decoder = codecs.getincrementaldecoder(codec)()
    line = 1
    with plain.open("rb") as source, _new_file(scratch) as target:
        while True:
            chunk = source.read(CHUNK_BYTES)
            try:
                text = decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                line += error.object[: error.start].count(b"\n")
                raise DataError(
                    f"{name}:{line}: not {codec}: {error.reason}.",
                    "Declare the encoding that the file is in (`encoding`).",
                ) from error
            line += text.count("\n")
            target.write(text.encode())
            if not chunk:
                break
    shutil.copystat(plain, target.name)
    return Path(target.name)
