"""The store keeps what it was given, or says clearly that it cannot."""

import errno
import os
import threading
from pathlib import Path

import pytest

from lastmile.errors import ArtefactError, SettingsError, StoreError
from lastmile.pipeline.base import Strict
from lastmile.store import ArtefactRef, Store


class Note(Strict):
    text: str


@pytest.fixture(params=["file", "memory"])
def any_store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    url = f"file://{tmp_path}/store" if request.param == "file" else f"memory://{tmp_path}/store"
    return Store(url, tmp_path / "cache")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "made"
    (made / "inner").mkdir(parents=True)
    (made / "a.txt").write_text("alpha")
    (made / "inner" / "b.bin").write_bytes(bytes(range(256)))
    return made


def test_an_artefact_comes_back_as_it_was(any_store: Store, folder: Path) -> None:
    opened = any_store.open_artefact(any_store.put_artefact("prepare", folder))
    assert (opened / "a.txt").read_text() == "alpha"
    assert (opened / "inner" / "b.bin").read_bytes() == bytes(range(256))


def test_equal_content_has_one_digest_and_other_content_another(
    any_store: Store, folder: Path
) -> None:
    first = any_store.put_artefact("prepare", folder)
    assert any_store.put_artefact("prepare", folder) == first
    (folder / "a.txt").write_text("beta")
    assert any_store.put_artefact("prepare", folder) != first


def test_an_artefact_that_was_never_stored_is_missing(any_store: Store) -> None:
    with pytest.raises(ArtefactError, match="not in the store"):
        any_store.open_artefact(ArtefactRef(kind="train", digest="0" * 64))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_truncated_file_is_refused_and_mended_by_storing_again(
    store: Store, folder: Path, share: float
) -> None:
    ref = store.put_artefact("prepare", folder)
    path = store.open_artefact(ref) / "inner" / "b.bin"
    path.write_bytes(path.read_bytes()[: int(256 * share)])
    with pytest.raises(ArtefactError, match=r"inner/b\.bin .* is altered"):
        store.open_artefact(ref)
    assert store.put_artefact("prepare", folder) == ref
    assert store.has_artefact(ref)


def test_an_altered_manifest_is_refused(store: Store, folder: Path) -> None:
    ref = store.put_artefact("prepare", folder)
    manifest = store.open_artefact(ref) / "manifest.json"
    manifest.write_bytes(manifest.read_bytes().replace(b"prepare", b"Prepare"))
    with pytest.raises(ArtefactError, match=r"manifest .* is altered"):
        store.open_artefact(ref)


def test_an_artefact_without_its_manifest_does_not_exist(store: Store, folder: Path) -> None:
    ref = store.put_artefact("prepare", folder)
    (store.open_artefact(ref) / "manifest.json").unlink()
    assert not store.has_artefact(ref)


def test_a_document_comes_back_and_an_absent_one_is_none(any_store: Store) -> None:
    assert any_store.read_document("notes/1.json", Note) is None
    any_store.write_document("notes/1.json", Note(text="hällo"))
    assert any_store.read_document("notes/1.json", Note) == Note(text="hällo")
    assert any_store.list_documents("notes") == ["notes/1.json"]
    assert any_store.list_documents("nowhere") == []


def test_a_document_of_another_form_is_refused(any_store: Store) -> None:
    any_store.write_bytes("notes/1.json", b'{"words": 1}')
    with pytest.raises(ArtefactError, match="is no Note"):
        any_store.read_document("notes/1.json", Note)


def test_a_reader_never_sees_half_a_document(store: Store) -> None:
    texts = ["a" * 200_000, "b" * 200_000]
    store.write_document("note.json", Note(text=texts[0]))
    stop = threading.Event()

    def write() -> None:
        turn = 0
        while not stop.is_set():
            turn += 1
            store.write_document("note.json", Note(text=texts[turn % 2]))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(100):
            note = store.read_document("note.json", Note)
            assert note is not None
            assert note.text in texts
    finally:
        stop.set()
        writer.join()


def test_a_full_store_is_transient_and_leaves_no_half_file(
    store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", refuse)  # where a full disk shows at the latest
    with pytest.raises(StoreError, match="is full") as caught:
        store.put_artefact("prepare", folder)
    assert "Free some space" in caught.value.hint
    monkeypatch.undo()
    assert [path for path in Path(store.url[7:]).rglob("*") if path.is_file()] == []
    assert store.has_artefact(store.put_artefact("prepare", folder))


def test_a_store_on_a_file_says_that_it_cannot_be_written(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "file").write_text("")
    store = Store(f"file://{tmp_path}/file/store", tmp_path / "cache")
    with pytest.raises(SettingsError, match="Not a directory") as caught:
        store.put_artefact("prepare", folder)
    assert "LASTMILE_STORE_URL" in caught.value.hint


def test_an_unknown_scheme_is_a_wrong_setting(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be used"):
        Store("nosuch://bucket", tmp_path)
