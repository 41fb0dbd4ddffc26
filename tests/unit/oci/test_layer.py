"""The layer with the model: equal files, equal bytes."""

import gzip
import hashlib
import io
import os
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastmile.errors import ArtefactError
from lastmile.oci.layer import LayerFile, StoredGzip, write_layer

GOLDEN_DIGEST = "sha256:b2a6a7154fad681faae958c467a81e17888dec9f6e736f34ff739861506b0415"
GOLDEN_DIFF_ID = "sha256:282e41e203b904d6f3b5431703534434aeb29308794053589a9626c4f54e35d1"


def write(folder: Path, name: str, content: bytes) -> LayerFile:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
    return LayerFile(folder / name, hashlib.sha256(content).hexdigest())


@given(st.lists(st.binary(max_size=200_000), max_size=4))
def test_how_content_is_handed_over_does_not_show(parts: list[bytes]) -> None:
    whole, pieces = io.BytesIO(), io.BytesIO()
    one, many = StoredGzip(whole), StoredGzip(pieces)
    one.write(b"".join(parts))
    for part in parts:
        many.write(part)
    one.finish()
    many.finish()
    assert whole.getvalue() == pieces.getvalue()
    assert gzip.decompress(whole.getvalue()) == b"".join(parts)
    assert one.digest == f"sha256:{hashlib.sha256(whole.getvalue()).hexdigest()}"
    assert one.diff_id == f"sha256:{hashlib.sha256(b''.join(parts)).hexdigest()}"
    assert one.size == len(whole.getvalue())


def test_order_place_time_and_rights_of_the_files_do_not_show(tmp_path: Path) -> None:
    first = {n: write(tmp_path / "a", n, n.encode() * 999) for n in ("x", "y", "z")}
    second = {n: write(tmp_path / "b" / "c", n, n.encode() * 999) for n in ("z", "x", "y")}
    for file in second.values():
        os.utime(file.path, (1, 1))
        file.path.chmod(0o600)
    one = write_layer(tmp_path / "1", {f"model/{n}": file for n, file in first.items()})
    two = write_layer(tmp_path / "2", {f"model/{n}": file for n, file in second.items()})
    assert one == two
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


def test_the_bytes_are_these_on_every_machine(tmp_path: Path) -> None:
    """A change here changes every model's digest: then say so in an ADR."""
    descriptor, diff_id = write_layer(tmp_path / "l", {"model/pointer.json": b"{}"})
    assert descriptor.digest == GOLDEN_DIGEST
    assert diff_id == GOLDEN_DIFF_ID


def test_a_layer_belongs_to_nobody_who_could_change_it(tmp_path: Path) -> None:
    files = {"model/bundle/m": write(tmp_path, "m", b"weights"), "model/pointer.json": b"{}"}
    write_layer(tmp_path / "layer", files)
    with tarfile.open(tmp_path / "layer") as archive:
        found = {e.name: (e.mode, e.uid, e.gid, e.mtime, e.isdir()) for e in archive}
        assert archive.extractfile("model/bundle/m").read() == b"weights"  # type: ignore[union-attr]
    folder, file = (0o555, 10001, 10001, 0, True), (0o444, 10001, 10001, 0, False)
    assert found == {
        "model": folder,
        "model/bundle": folder,
        "model/bundle/m": file,
        "model/pointer.json": file,
    }


def test_an_altered_or_missing_file_makes_no_layer(tmp_path: Path) -> None:
    file = write(tmp_path, "model.onnx", b"weights")
    file.path.write_bytes(b"weightz")
    with pytest.raises(ArtefactError, match="is not the file that its digest"):
        write_layer(tmp_path / "layer", {"model/model.onnx": file})
    file.path.unlink()
    with pytest.raises(ArtefactError, match="is not the file that its digest"):
        write_layer(tmp_path / "layer", {"model/model.onnx": file})
