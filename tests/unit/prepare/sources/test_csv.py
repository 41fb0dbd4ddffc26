import bz2
import gzip
import io
import lzma
import zipfile
from collections.abc import Callable

import pandas as pd
import pyarrow as pa
import pytest

from lastmile.errors import BusyError, DataError
from lastmile.prepare.sources.csv import CsvSource

DAMAGED = bytearray(gzip.compress(bytes(range(256)) * 4))
DAMAGED[12:20] = bytes(8)
TEXT = "id,name\n1,Zo\u00eb\n2,\n"
EXPECTED = pd.DataFrame({"id": ["1", "2"], "name": ["Zo\u00eb", None]}, dtype="str")


def zst(content: bytes) -> bytes:
    return pa.Codec("zstd").compress(content, asbytes=True)


def packed(*names: str) -> Callable[[bytes], bytes]:
    """Return what packs a content into a zip archive, under each of the names."""

    def pack(content: bytes) -> bytes:
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in names:
                archive.writestr(name, content)
        return file.getvalue()

    return pack


def test_every_value_is_text_and_an_empty_field_is_missing(place, tmp_path):
    (tmp_path / "t.csv").write_text(TEXT)
    pd.testing.assert_frame_equal(CsvSource(path="t.csv").read(place).frame, EXPECTED)


def test_what_stands_for_missing_can_be_told_and_nothing_else_does(place, tmp_path):
    (tmp_path / "t.csv").write_text("a;b\nNA;-\n;nan\n")
    frame = CsvSource(path="t.csv", delimiter=";", missing=("-",)).read(place).frame
    pd.testing.assert_frame_equal(
        frame, pd.DataFrame({"a": ["NA", ""], "b": [None, "nan"]}, dtype="str")
    )


@pytest.mark.parametrize(
    ("suffix", "compress"),
    [
        ("gz", gzip.compress),
        ("GZ", gzip.compress),
        ("bz2", bz2.compress),
        ("xz", lzma.compress),
        ("zst", zst),
        ("zip", packed("folder/", "folder/t.csv", "__MACOSX/folder/._t.csv")),
    ],
)
def test_compressed_files_are_unpacked_and_the_copy_goes(place, tmp_path, suffix, compress):
    (tmp_path / f"t.csv.{suffix}").write_bytes(compress(TEXT.encode()))
    frame = CsvSource(path=f"t.csv.{suffix}").read(place).frame
    pd.testing.assert_frame_equal(frame, EXPECTED)
    assert not list(place.scratch.iterdir())


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "utf-8", "cp1252"])
def test_the_declared_encoding_is_read(place, tmp_path, encoding):
    (tmp_path / "t.csv").write_bytes(TEXT.encode(encoding))
    frame = CsvSource(path="t.csv", encoding=encoding).read(place).frame
    pd.testing.assert_frame_equal(frame, EXPECTED)
    assert not list(place.scratch.iterdir())


def test_a_glob_reads_all_files_by_name_with_columns_in_any_order(place, tmp_path):
    (tmp_path / "b.csv").write_text("y,x\n2,b\n")
    (tmp_path / "a.csv").write_text("x,y\na,1\n")
    frame = CsvSource(path="*.csv").read(place).frame
    pd.testing.assert_frame_equal(
        frame, pd.DataFrame({"x": ["a", "b"], "y": ["1", "2"]}, dtype="str")
    )


def test_files_with_different_headers_are_refused(place, tmp_path):
    (tmp_path / "a.csv").write_text("x,y\na,1\n")
    (tmp_path / "b.csv").write_text("x,z\na,1\n")
    with pytest.raises(DataError, match=r"b.csv: its header differs from the first file's in y, z"):
        CsvSource(path="*.csv").read(place)


@pytest.mark.parametrize("path", ["none.csv", "none/*.csv"])
def test_a_missing_file_is_named(place, path):
    with pytest.raises(DataError, match=r"none.*: there is no such file"):
        CsvSource(path=path).acquire(place)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        pytest.param("t.csv.gz", gzip.compress(TEXT.encode())[:-9], "cannot be unpacked", id="cut"),
        pytest.param("t.csv.gz", b"no gzip", "cannot be unpacked", id="no-gzip"),
        pytest.param("t.csv.xz", b"no xz", "cannot be unpacked", id="no-xz"),
        pytest.param("t.csv.bz2", b"no bz2", "cannot be unpacked", id="no-bz2"),
        pytest.param("t.csv.zst", b"no zst", "cannot be unpacked", id="no-zst"),
        pytest.param("t.csv.zip", b"no zip", "cannot be unpacked", id="no-zip"),
        pytest.param("t.csv.gz", DAMAGED, "cannot be unpacked", id="damaged"),
        pytest.param("t.zip", packed()(b""), r"t.zip: 0 files .*\(nothing\)", id="zip-of-none"),
        pytest.param(
            "t.zip", packed("a.csv", "b.csv")(b"x"), r"2 files .*\(a.csv, b.csv\)", id="zip-of-two"
        ),
    ],
)
def test_a_broken_archive_is_refused(place, tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        CsvSource(path=name).read(place)
    assert not list(place.scratch.iterdir())


def test_a_bomb_is_not_unpacked_to_its_end(place, tmp_path, monkeypatch):
    monkeypatch.setattr("lastmile.prepare.sources.unpack.RATIO_FROM_BYTES", 1 << 20)
    (tmp_path / "t.csv.bz2").write_bytes(bz2.compress(b"a" * (8 << 20)))
    with pytest.raises(DataError, match="more than 1000 times its size"):
        CsvSource(path="t.csv.bz2").read(place)
    assert not list(place.scratch.iterdir())


def test_bytes_outside_the_declared_encoding_are_refused_with_their_line(place, tmp_path):
    (tmp_path / "t.csv").write_bytes(b"a\n1\n\xff\xfe\n")
    with pytest.raises(DataError, match=r"t.csv:3: not shift_jis"):
        CsvSource(path="t.csv", encoding="shift_jis").read(place)


def test_an_unknown_encoding_is_refused(place, tmp_path):
    (tmp_path / "t.csv").write_text(TEXT)
    with pytest.raises(DataError, match="no encoding called 'utf-9'"):
        CsvSource(path="t.csv", encoding="utf-9").read(place)


def test_the_digest_is_that_of_the_bytes(place, tmp_path):
    source, file = CsvSource(path="t.csv"), tmp_path / "t.csv"
    file.write_text(TEXT)
    first = source.acquire(place).digest
    assert source.acquire(place).digest == first
    file.write_text(TEXT + "3,x\n")
    assert source.acquire(place).digest != first


def test_a_file_that_changes_between_digest_and_reading_is_worth_a_retry(place, tmp_path):
    file = tmp_path / "t.csv"
    file.write_text(TEXT)
    acquired = CsvSource(path="t.csv").acquire(place)
    file.write_text(TEXT + "3,x\n")
    with pytest.raises(BusyError, match="changed while they were read"):
        acquired.load()
