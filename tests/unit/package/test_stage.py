"""The stage `package`, over the real store and the real MLflow."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bundles import write_bundle
from deployed import copy_empty_registry
from lastmile.artefacts.image import ModelImage
from lastmile.artefacts.passport import Candidate, Passport
from lastmile.artefacts.verdict import Check, Decision, Golden, Metric, Outcome, Verdict
from lastmile.clients.mlflow import Tracking
from lastmile.errors import (
    ArtefactError,
    PermanentError,
    ServiceUnavailableError,
    SettingsError,
)
from lastmile.features.schema import Column, ColumnKind
from lastmile.oci.base import open_base
from lastmile.oci.verify import remake_image, verify_image
from lastmile.package.provenance import stages_digest
from lastmile.package.stage import CANDIDATE
from lastmile.run import Context, StageName, StageRecord, execute, record_name
from lastmile.settings import Settings
from model_images import make_base
from registry import running_registry, why_no_registry
from stages import put_stage, write_dataset_files

COLUMNS = (Column("x", ColumnKind.NUMBER),)
GOLDEN = Golden(records=({"x": 1.0},), answers=({"value": 2.0},))


@pytest.fixture
def judged(
    make_context: Callable[..., Context], settings: Settings, tmp_path: Path
) -> Callable[..., Context]:
    """Make a run that has come as far as a verdict; keyword arguments replace the verdict's parts."""
    settings.home_path.mkdir(exist_ok=True)
    copy_empty_registry(settings.home_path)

    def make(run_id: str = "run-1", bias: float = 1.0, **parts: Any) -> Context:
        context, folder = make_context(run_id=run_id, reason="new data"), tmp_path / run_id
        rows = ({"x": [1.0, 2.0]}, [0.0, 1.0])
        data = write_dataset_files(folder / "data", COLUMNS, rows, rows)
        dataset = put_stage(context, StageName.PREPARE, data)
        bundle = put_stage(context, StageName.TRAIN, write_bundle(folder / "bundle", bias=bias))
        verdict: dict[str, Any] = {
            "pipeline": "toy",
            "bundle": bundle.digest,
            "dataset": dataset.digest,
            "champion": "c" * 64,
            "rows": 2,
            "decision": Decision.PROMOTE,
            "checks": (Check(name="roc_auc at least", outcome=Outcome.PASS, value=0.9,
                             threshold=0.8, reason="0.9 is at least 0.8"),),
            "metrics": (Metric(name="roc_auc", value=0.9, low=0.8, high=0.95, baseline=0.5,
                               champion=None),),
        }  # fmt: skip
        out = folder / "verdict"
        out.mkdir()
        (out / "verdict.json").write_text(Verdict(**verdict | parts).model_dump_json())
        (out / "golden.json").write_text(GOLDEN.model_dump_json())
        put_stage(context, StageName.EVALUATE, out)
        return context

    return make


def registry(context: Context) -> Tracking:
    return Tracking(context.settings.mlflow, context.settings.home_path)


def read(context: Context, record: StageRecord) -> tuple[Candidate, Passport]:
    folder = context.store.open_artefact(record.artefact)
    return (
        Candidate.model_validate_json((folder / "candidate.json").read_bytes()),
        Passport.model_validate_json((folder / "passport.json").read_bytes()),
    )


def test_a_promoted_bundle_becomes_a_candidate_with_its_passport(
    judged: Callable[..., Context],
) -> None:
    context = judged()
    record = execute(StageName.PACKAGE, context)
    candidate, passport = read(context, record)
    bundle = context.record(StageName.TRAIN).artefact
    assert candidate.bundle == passport.bundle == bundle.digest
    assert (candidate.version, passport.version) == (1, 1)
    assert candidate.champion == "c" * 64
    assert candidate.golden == GOLDEN
    manifest = context.store.read_manifest(record.artefact)
    assert candidate.passport == manifest.files["passport.json"].sha256
    stored = context.store.read_manifest(bundle).files
    assert passport.files == {name: file.sha256 for name, file in stored.items()}
    assert passport.dataset == context.record(StageName.PREPARE).artefact.digest
    assert passport.verdict == context.record(StageName.EVALUATE).artefact.digest
    assert passport.rows == {"train": 2, "validation": 2, "test": 2}
    assert passport.sources[0].name == "rows"
    assert (passport.run_id, passport.reason) == ("run-1", "new data")
    assert passport.definition["task"] == "binary"
    assert passport.code == stages_digest()
    assert passport.commit is None  # the test's folder is no checkout
    assert registry(context).version_of("toy", CANDIDATE) == 1


def test_another_bundle_is_another_version_and_the_same_one_is_not(
    judged: Callable[..., Context],
) -> None:
    for run_id, bias, version in (("a", 1.0, 1), ("b", 2.0, 2), ("c", 1.0, 1)):
        context = judged(run_id, bias)
        candidate, _ = read(context, execute(StageName.PACKAGE, context))
        assert candidate.version == version
    assert context.record(StageName.PACKAGE).reused_from == "a"


def test_with_a_server_base_the_candidate_is_an_image(
    judged: Callable[..., Context], tmp_path: Path
) -> None:
    context = judged()
    assert "image" not in execute(StageName.PACKAGE, context).summary
    _, base = make_base(tmp_path / "base")
    shutil.copytree(tmp_path / "base" / "images", context.settings.images_path)
    record = execute(StageName.PACKAGE, context)  # not reused: now there is something to put it on
    folder = context.store.open_artefact(record.artefact)
    image = ModelImage.model_validate_json((folder / "image.json").read_bytes())
    assert (image.registry, image.base) == (None, base.digest)
    candidate, passport = read(context, record)
    bundle = context.store.open_artefact(context.record(StageName.TRAIN).artefact)
    found = open_base(context.settings, None, image.base)
    made = remake_image(image, passport, candidate.passport, bundle, found, tmp_path)
    assert made.digest == image.digest


@pytest.mark.skipif(why_no_registry() is not None, reason=str(why_no_registry()))
def test_with_a_container_registry_the_candidate_is_an_image_there(
    judged: Callable[..., Context], tmp_path: Path
) -> None:
    context = judged()
    with running_registry(tmp_path / "registry") as running, running.open() as images:
        settings = context.settings.model_copy(update={"registry": f"{running.host}/models"})
        context = replace(context, settings=settings)
        with pytest.raises(SettingsError, match="There is no server base"):
            execute(StageName.PACKAGE, context)
        _, base = make_base(tmp_path / "base")
        shutil.copytree(tmp_path / "base" / "images", settings.images_path)
        record = execute(StageName.PACKAGE, context)
        folder = context.store.open_artefact(record.artefact)
        image = ModelImage.model_validate_json((folder / "image.json").read_bytes())
        candidate, _ = read(context, record)
        assert verify_image(image, candidate.bundle, images).layers[:-1] == base.layers
        assert record.summary["image"] == image.reference
        assert image.base == base.digest
        assert image.sbom is not None
        again = execute(StageName.PACKAGE, replace(context, run_id="run-1"))
        assert again.reused_from == "run-1"  # the same base, registry, bundle and verdict


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ({"decision": Decision.REJECT}, "the verdict is REJECT"),
        ({"decision": Decision.NEEDS_HUMAN}, "the verdict is NEEDS_HUMAN"),
        ({"bundle": "d" * 64}, "The verdict is about bundle dddddddddddd"),
        ({"dataset": "e" * 64}, "The verdict is about dataset eeeeeeeeeeee"),
    ],
)
def test_what_was_not_approved_is_not_packaged(
    judged: Callable[..., Context], parts: dict[str, Any], says: str
) -> None:
    context = judged(**parts)
    with pytest.raises(PermanentError, match=says) as caught:
        execute(StageName.PACKAGE, context)
    assert caught.value.hint
    _check_nothing_was_made(context)


@pytest.mark.parametrize("stage", [StageName.PREPARE, StageName.TRAIN, StageName.EVALUATE])
def test_what_was_altered_in_the_store_is_not_packaged(
    judged: Callable[..., Context], stage: StageName
) -> None:
    context = judged()
    for file in context.store.open_artefact(context.record(stage).artefact).iterdir():
        if file.name != "manifest.json":
            file.write_bytes(b"?")
    with pytest.raises(ArtefactError, match="altered"):
        execute(StageName.PACKAGE, context)
    _check_nothing_was_made(context)


def test_a_registry_that_does_not_answer_is_transient(
    judged: Callable[..., Context], settings: Settings
) -> None:
    context = judged()
    (settings.home_path / "mlflow.db").write_bytes(b"no database" * 100)
    with pytest.raises(ServiceUnavailableError, match="MLflow could not") as caught:
        execute(StageName.PACKAGE, context)
    assert "LASTMILE_MLFLOW_URL" in caught.value.hint
    copy_empty_registry(settings.home_path)
    execute(StageName.PACKAGE, context)


def test_what_another_version_left_is_named(judged: Callable[..., Context], tmp_path: Path) -> None:
    context = judged()
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "verdict.json").write_text('{"verdict": "fine"}')
    put_stage(context, StageName.EVALUATE, tmp_path / "old")
    with pytest.raises(ArtefactError, match="no verdict with golden predictions"):
        execute(StageName.PACKAGE, context)


def _check_nothing_was_made(context: Context) -> None:
    name = record_name("toy", context.run_id, StageName.PACKAGE)
    assert context.store.read_document(name, StageRecord) is None
    assert registry(context).version_of("toy", CANDIDATE) is None
