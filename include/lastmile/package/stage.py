"""The stage: an approved bundle to a release candidate with its passport.

Where there is a server base the candidate becomes an image, too, `image.json`; a container registry, where
the environment has one, gets it.
"""

from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from pydantic import ValidationError

from lastmile.artefacts.dataset import Dataset, read_dataset
from lastmile.artefacts.image import ModelImage
from lastmile.artefacts.passport import Candidate, Passport
from lastmile.artefacts.verdict import Decision, Golden, Verdict
from lastmile.clients.mlflow import Tracking
from lastmile.errors import ArtefactError, PermanentError, PipelineFileError
from lastmile.package.provenance import commit_of, library_versions, stages_digest
from lastmile.pipeline.load import find_pipeline, read_pipeline
from lastmile.run import Context, Produced, StageName
from lastmile.settings import Settings
from lastmile.store import ArtefactRef, file_digest

CANDIDATE = "candidate"
"""The alias in the registry."""


class Stage:
    """Takes only what the verdict promotes; every byte of it is verified."""

    code: ClassVar[tuple[str, ...]] = (
        "package", "oci", "artefacts.passport", "artefacts.image", "clients.mlflow",
    )  # fmt: skip
    libraries: ClassVar[tuple[str, ...]] = ()
    reusable: ClassVar[bool] = True

    def inputs(self, context: Context, scratch: Path) -> Any:
        """Bundle, dataset and verdict; which registry knows the version, and which has the image."""
        return {
            **_image_inputs(context.settings),
            "pipeline": context.pipeline.name,
            "bundle": context.record(StageName.TRAIN).artefact.digest,
            "dataset": context.record(StageName.PREPARE).artefact.digest,
            "verdict": context.record(StageName.EVALUATE).artefact.digest,
            "registry": context.settings.mlflow,
        }

    def execute(self, context: Context, scratch: Path, out: Path) -> Produced:
        """Write the passport and register the candidate.

        Raises:
            PermanentError: The verdict is not PROMOTE, or is about another bundle or dataset.
            ArtefactError: Something that is built on is missing or altered.
            ServiceUnavailableError: MLflow or the container registry does not answer.
            SettingsError: There is no server base, or the container registry refuses us.
        """
        bundle = context.record(StageName.TRAIN).artefact
        dataset = context.record(StageName.PREPARE).artefact
        judged = context.record(StageName.EVALUATE).artefact
        verdict, golden = _read_verdict(context.store.open_artefact(judged))
        _refuse_unapproved(verdict, bundle, dataset)
        # All is verified before the registry, which keeps what it is told, hears of the candidate.
        data = read_dataset(context.store.open_artefact(dataset))
        folder = context.store.open_artefact(bundle)
        version = _register(context, bundle, folder, judged)
        passport = _passport(context, verdict, judged, data, version)
        (out / "passport.json").write_text(passport.model_dump_json(indent=1))
        image = _make_image(context, passport, folder, scratch, out)
        candidate = Candidate(
            pipeline=context.pipeline.name,
            version=version,
            bundle=bundle.digest,
            passport=file_digest(out / "passport.json"),
            champion=verdict.champion,
            golden=golden,
        )
        (out / "candidate.json").write_text(candidate.model_dump_json(indent=1))
        return Produced(
            summary={
                "version": version,
                "bundle": bundle.digest[:12],
                "commit": passport.commit,
                **({"image": image.reference} if image else {}),
            },
            rows=verdict.rows,
        )


def _image_inputs(settings: Settings) -> dict[str, Any]:
    from lastmile.oci.base import base_digest

    base = base_digest(settings)
    if not settings.registry and base is None:
        return {}
    return {"image": {"registry": settings.registry, "base": base}}


def _make_image(
    context: Context, passport: Passport, bundle: Path, scratch: Path, out: Path
) -> ModelImage | None:
    """Make and note the candidate's image, and send it where the environment has a container registry.

    None where there is neither a registry nor a server base: models are served without images then.
    """
    if not _image_inputs(context.settings):
        return None
    from lastmile.oci.base import open_base
    from lastmile.oci.remote import open_registry
    from lastmile.package.image import publish_model

    registry = open_registry(context.settings)
    with registry or nullcontext():
        base = open_base(context.settings, registry)
        digest = file_digest(out / "passport.json")
        image = publish_model(passport, digest, bundle, base, registry, scratch)
    (out / "image.json").write_text(image.model_dump_json(indent=1))
    return image


def _read_verdict(folder: Path) -> tuple[Verdict, Golden]:
    try:
        return (
            Verdict.model_validate_json((folder / "verdict.json").read_bytes()),
            Golden.model_validate_json((folder / "golden.json").read_bytes()),
        )
    except (OSError, ValidationError) as error:
        raise ArtefactError(
            "What evaluate left is no verdict with golden predictions.",
            "It is of another version of Lastmile. Evaluate again with --force.",
        ) from error


def _refuse_unapproved(verdict: Verdict, bundle: ArtefactRef, dataset: ArtefactRef) -> None:
    if verdict.decision is not Decision.PROMOTE:
        raise PermanentError(
            f"The candidate is not packaged: the verdict is {verdict.summary}",
            "Only a verdict of PROMOTE leads to a release.",
        )
    for name, judged, given in (
        ("bundle", verdict.bundle, bundle.digest),
        ("dataset", verdict.dataset, dataset.digest),
    ):
        if judged != given:
            raise PermanentError(
                f"The verdict is about {name} {judged[:12]}, this run's is {given[:12]}.",
                "Evaluate this run again; then package it.",
            )


def _register(context: Context, bundle: ArtefactRef, folder: Path, judged: ArtefactRef) -> int:
    trained = context.record(StageName.TRAIN)
    name = context.pipeline.name
    tracking = Tracking(context.settings.mlflow, context.settings.home_path)
    version = tracking.register(
        name,
        bundle.digest,
        folder,
        tracking.find_training(name, trained.reused_from or trained.run_id),
        {"lastmile.run": context.run_id, "lastmile.verdict": judged.digest},
    )
    tracking.set_alias(name, CANDIDATE, version)
    return version


def _passport(
    context: Context, verdict: Verdict, judged: ArtefactRef, dataset: Dataset, version: int
) -> Passport:
    manifest = context.store.read_manifest(ArtefactRef(kind="train", digest=verdict.bundle))
    return Passport(
        pipeline=context.pipeline.name,
        version=version,
        bundle=verdict.bundle,
        files={name: file.sha256 for name, file in manifest.files.items()},
        dataset=verdict.dataset,
        verdict=judged.digest,
        decision=verdict.decision,
        metrics=verdict.metrics,
        sources=dataset.sources,
        rows={str(name): count for name, count in dataset.rows.items()},
        definition=_definition(context),
        code=stages_digest(),
        commit=commit_of(context.settings.root),
        libraries=library_versions(),
        run_id=context.run_id,
        requested_by=context.options.requested_by,
        reason=context.options.reason,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _definition(context: Context) -> dict[str, Any]:
    """Return the pipeline as its file says it; as it was loaded where the file lies elsewhere."""
    try:
        pipeline = read_pipeline(find_pipeline(context.pipeline.name, context.settings))
    except PipelineFileError:
        pipeline = context.pipeline
    return pipeline.model_dump(mode="json")
