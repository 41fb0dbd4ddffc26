import json
from pathlib import Path

import numpy as np
import pytest

from lastmile.store import Store
from lastmile.train.gang.checkpoint import Checkpoints, Snapshot
from lastmile.train.gang.progress import Progress

FOLDER = "checkpoints/toy/abc"


@pytest.fixture
def checkpoints(store: Store) -> Checkpoints:
    return Checkpoints(store, FOLDER)


@pytest.fixture
def folder(store: Store) -> Path:
    return Path(store.url.removeprefix("file://")) / FOLDER


def snapshot(step: int, epoch: int = 0) -> Snapshot:
    weights = [np.full((30, 40), step, dtype=np.float32), np.arange(3.0)]
    return Snapshot(
        Progress(step=step, epoch=epoch, losses=[0.1] * step),
        {"weights": weights, "optimizer": [np.array(step, dtype=np.int64)]},
    )


def loaded_step(checkpoints: Checkpoints) -> int | None:
    found = checkpoints.load()
    return found.progress.step if found else None


def test_a_snapshot_comes_back_as_it_was(checkpoints: Checkpoints) -> None:
    kept = snapshot(7)
    checkpoints.save(kept)
    found = checkpoints.load()
    assert found is not None
    assert found.progress == kept.progress
    assert found.groups.keys() == kept.groups.keys()
    for group, arrays in kept.groups.items():
        for mine, theirs in zip(arrays, found.groups[group], strict=True):
            np.testing.assert_array_equal(mine, theirs)
            assert mine.dtype == theirs.dtype


def test_more_than_ten_arrays_keep_their_order(checkpoints: Checkpoints) -> None:
    arrays = [np.array([i]) for i in range(25)]
    checkpoints.save(Snapshot(Progress(step=1), {"weights": arrays}))
    found = checkpoints.load()
    assert found is not None
    assert [int(a[0]) for a in found.groups["weights"]] == list(range(25))


def test_without_a_checkpoint_there_is_nothing_to_go_on_from(checkpoints: Checkpoints) -> None:
    assert checkpoints.load() is None


def test_the_newest_and_the_one_before_are_kept(checkpoints: Checkpoints, folder: Path) -> None:
    for step in (1, 2, 30, 200):
        checkpoints.save(snapshot(step))
    names = sorted(path.name for path in folder.iterdir())
    assert names == [
        "000000000030-000000.json", "000000000030-000000.npz",
        "000000000200-000000.json", "000000000200-000000.npz",
    ]  # fmt: skip
    assert loaded_step(checkpoints) == 200


def test_a_finished_epoch_comes_after_its_last_step(checkpoints: Checkpoints) -> None:
    checkpoints.save(snapshot(12, epoch=0))
    checkpoints.save(snapshot(12, epoch=1))
    found = checkpoints.load()
    assert found is not None
    assert found.progress.epoch == 1


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_checkpoint_cut_off_is_refused_and_the_one_before_is_used(
    checkpoints: Checkpoints, folder: Path, share: float, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoints.save(snapshot(5))
    checkpoints.save(snapshot(6))
    newest = max(folder.glob("*.npz"))
    content = newest.read_bytes()
    newest.write_bytes(content[: int(len(content) * share)])
    assert loaded_step(checkpoints) == 5
    assert "not what its head says" in caplog.text


def test_an_altered_byte_is_noticed(checkpoints: Checkpoints, folder: Path) -> None:
    checkpoints.save(snapshot(5))
    checkpoints.save(snapshot(6))
    newest = max(folder.glob("*.npz"))
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    assert loaded_step(checkpoints) == 5


@pytest.mark.parametrize("head", ["", '{"format":1', '{"format":1,"step":6}'])
def test_a_damaged_head_is_refused(checkpoints: Checkpoints, folder: Path, head: str) -> None:
    checkpoints.save(snapshot(5))
    checkpoints.save(snapshot(6))
    max(folder.glob("*.json")).write_text(head)
    assert loaded_step(checkpoints) == 5


def test_a_writer_killed_before_the_head_leaves_the_checkpoint_before(
    checkpoints: Checkpoints, folder: Path
) -> None:
    checkpoints.save(snapshot(5))
    checkpoints.save(snapshot(6))
    max(folder.glob("*.json")).unlink()
    assert loaded_step(checkpoints) == 5


def test_with_every_checkpoint_damaged_training_begins_anew(
    checkpoints: Checkpoints, folder: Path
) -> None:
    checkpoints.save(snapshot(5))
    for path in folder.glob("*.npz"):
        path.write_bytes(b"")
    assert checkpoints.load() is None


def test_a_checkpoint_with_a_pickle_in_it_is_never_unpickled(
    checkpoints: Checkpoints, folder: Path
) -> None:
    checkpoints.save(snapshot(5))
    data, head = next(folder.glob("*.npz")), next(folder.glob("*.json"))
    with data.open("wb") as file:
        np.savez(file, **{"weights.0": np.array([{"evil": 1}], dtype=object)})
    content = data.read_bytes()
    import hashlib

    value = json.loads(head.read_text())
    value |= {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    head.write_text(json.dumps(value))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        checkpoints.load()
