import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bundles import write_bundle, write_pointer
from lastmile.errors import ArtefactError
from lastmile.features.schema import Column, ColumnKind
from lastmile.serve.app import create_app
from lastmile.serve.errors import NotReadyError
from lastmile.serve.live import LiveModel, read_pointer


@pytest.fixture
def live(tmp_path: Path, pointer: Path) -> LiveModel:
    """Version 1 of a model, loaded."""
    write_pointer(pointer, write_bundle(tmp_path / "first"), version=1)
    live = LiveModel(pointer)
    live.refresh()
    return live


def test_a_new_pointer_swaps_the_model(live: LiveModel, tmp_path: Path, pointer: Path) -> None:
    old = live.model
    write_pointer(pointer, write_bundle(tmp_path / "second", bias=1.0), version=2)
    live.refresh()
    assert (old.version, live.model.version) == (1, 2)
    assert old.predictor.predict([{"x": 1}]) == [{"value": 1.0}]  # a request that holds it goes on
    assert live.model.predictor.predict([{"x": 1}]) == [{"value": 2.0}]


def test_an_unchanged_pointer_loads_nothing(live: LiveModel) -> None:
    old = live.model
    live.refresh()
    assert live.model is old


@pytest.mark.parametrize(
    ("bundle", "said"),
    [
        pytest.param({"weights": np.array([[np.nan]])}, "nan", id="answers NaN"),
        pytest.param({"width": 7}, "expected", id="reads another width"),
        pytest.param({"weights": np.ones((1, 3))}, "expected", id="gives another width"),
    ],
)
def test_a_bundle_that_does_not_work_leaves_the_old_one_in_service(
    live: LiveModel, tmp_path: Path, pointer: Path, bundle: dict[str, Any], said: str
) -> None:
    write_pointer(pointer, write_bundle(tmp_path / "broken", **bundle), version=2)
    live.refresh()
    assert live.model.version == 1
    assert live.problem is not None
    assert said in live.problem.headline


@pytest.mark.parametrize("name", ["model.onnx", "transform.json", "signature.json"])
def test_a_missing_or_broken_file_is_named(
    live: LiveModel, tmp_path: Path, pointer: Path, name: str
) -> None:
    for content in (None, b"", b"{}", b"\x00\xff"):
        bundle = write_bundle(tmp_path / f"broken-{content!r:.9}")
        if content is None:
            (bundle / name).unlink()
        else:
            (bundle / name).write_bytes(content)
        write_pointer(pointer, bundle, version=2)
        live.refresh()
        assert live.model.version == 1
        assert live.problem is not None
        assert name in live.problem.headline


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"{}", b"\xff", b'{"name": "toy", "version": "2", "release": 1, "bundle": "x"}',
     b'{"name": "toy", "version": 2, "release": 1, "bundle": 7}'],
)  # fmt: skip
def test_a_broken_pointer_leaves_the_model_in_service(
    live: LiveModel, pointer: Path, content: bytes
) -> None:
    pointer.write_bytes(content)
    live.refresh()
    assert live.model.version == 1
    assert live.problem is not None
    assert str(pointer) in live.problem.headline
    with pytest.raises(ArtefactError):
        read_pointer(pointer)


def test_a_bundle_that_is_mended_is_taken_on_a_later_try(
    live: LiveModel, tmp_path: Path, pointer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lastmile.serve.live.RETRY_SECONDS", 0.0)
    write_pointer(pointer, tmp_path / "late", version=2)
    live.refresh()
    assert live.problem is not None
    write_bundle(tmp_path / "late")
    live.refresh()
    assert (live.model.version, live.problem) == (2, None)


def test_without_a_pointer_no_model_is_ready(pointer: Path) -> None:
    live = LiveModel(pointer)
    live.refresh()
    with pytest.raises(NotReadyError, match="cannot be read"):
        _ = live.model


def test_the_thread_follows_the_pointer(live: LiveModel, tmp_path: Path, pointer: Path) -> None:
    thread = live.watch()
    write_pointer(pointer, write_bundle(tmp_path / "second"), version=2)
    deadline = time.monotonic() + 5
    while live.model.version == 1 and time.monotonic() < deadline:
        time.sleep(0.02)
    live.stop()
    thread.join(5)
    assert live.model.version == 2
    assert not thread.is_alive()


def test_readyz_says_why_the_new_version_does_not_answer(tmp_path: Path, pointer: Path) -> None:
    write_pointer(pointer, write_bundle(tmp_path / "first"), version=1)
    app = create_app(pointer, follow=False)
    write_pointer(pointer, tmp_path / "missing", version=2)
    app.extensions["lastmile"].live.refresh()
    answer = app.test_client().get("/readyz")
    said = answer.get_json()
    assert answer.status_code == 200
    assert (said["ready"], said["name"], said["version"], said["release"]) == (True, "toy", 1, 11)
    assert "missing" in said["problem"]["headline"]


def test_the_warm_up_manages_a_contract_of_every_kind(tmp_path: Path, pointer: Path) -> None:
    columns = (
        Column("a", ColumnKind.INTEGER, minimum=18.5, maximum=120),
        Column("b", ColumnKind.NUMBER, maximum=-3),
        Column("c", ColumnKind.BOOLEAN),
        Column("d", ColumnKind.CATEGORY, allowed=("x", "y")),
    )
    bundle = write_bundle(tmp_path / "bundle", columns=columns, vocabularies=(("x",),))
    write_pointer(pointer, bundle)
    live = LiveModel(pointer)
    live.refresh()
    assert live.model.version == 1
    assert Path(live.model.pointer.bundle).samefile(bundle)
