"""Copies of bundles on the serving machine."""

from pathlib import Path

import pytest

from bundles import write_bundle
from lastmile.deploy.bundles import discard, install, is_sound
from lastmile.errors import ArtefactError, DeployError, StoreError
from lastmile.store import Store


@pytest.fixture
def digest(store: Store, tmp_path: Path) -> str:
    return store.put_artefact("train", write_bundle(tmp_path / "trained")).digest


def test_a_copy_holds_what_the_store_holds(store: Store, digest: str, tmp_path: Path) -> None:
    folder = install(store, digest, tmp_path / "bundles")
    assert folder == tmp_path / "bundles" / digest
    for path in (tmp_path / "trained").iterdir():
        assert (folder / path.name).read_bytes() == path.read_bytes()


def test_a_sound_copy_needs_no_store(
    store: Store, digest: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = install(store, digest, tmp_path / "bundles")

    def refuse(*_: object) -> None:
        raise StoreError("The store does not answer.")

    monkeypatch.setattr(store, "read_manifest", refuse)
    assert install(store, digest, tmp_path / "bundles") == folder
    (folder / "model.onnx").unlink()
    with pytest.raises(StoreError):
        install(store, digest, tmp_path / "bundles")


@pytest.mark.parametrize("name", ["model.onnx", "manifest.json"])
def test_an_altered_copy_is_replaced_whole(
    store: Store, digest: str, tmp_path: Path, name: str
) -> None:
    folder = install(store, digest, tmp_path / "bundles")
    (folder / name).write_bytes(b"?")
    assert not is_sound(folder)
    install(store, digest, tmp_path / "bundles")
    assert is_sound(folder)
    assert list((tmp_path / "bundles").iterdir()) == [folder]


def test_a_manifest_that_was_altered_with_its_file_does_not_pass(
    store: Store, digest: str, tmp_path: Path
) -> None:
    folder = install(store, digest, tmp_path / "bundles")
    other = store.put_artefact("train", write_bundle(tmp_path / "other", bias=5.0)).digest
    source = install(store, other, tmp_path / "others")
    for path in source.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    assert is_sound(source)
    assert not is_sound(folder)


def test_what_is_altered_in_the_store_is_not_copied(
    store: Store, digest: str, tmp_path: Path, settings: object
) -> None:
    [stored] = tmp_path.glob(f"home/store/artefacts/{digest}/model.onnx")
    stored.write_bytes(b"?")
    with pytest.raises(ArtefactError, match="altered"):
        install(store, digest, tmp_path / "bundles")
    assert not (tmp_path / "bundles").exists()


def test_a_folder_that_cannot_be_written_is_a_deploy_error(
    store: Store, digest: str, tmp_path: Path
) -> None:
    (tmp_path / "bundles").write_text("in the way")
    with pytest.raises(DeployError, match="cannot be copied") as caught:
        install(store, digest, tmp_path / "bundles")
    assert "may write there" in caught.value.hint


def test_all_is_discarded_but_what_is_kept(store: Store, digest: str, tmp_path: Path) -> None:
    bundles = tmp_path / "bundles"
    kept = install(store, digest, bundles)
    for name in ("0" * 64, ".part-0000-1"):
        (bundles / name).mkdir()
        (bundles / name / "file").touch()
    discard(bundles, {digest})
    assert list(bundles.iterdir()) == [kept]
    discard(tmp_path / "nowhere", set())
