"""Stage `train`: from a dataset to a bundle. Supervises the gang and imports no TensorFlow itself."""

import importlib.metadata
import json
import logging
import shutil
from pathlib import Path
from typing import Any, ClassVar

from lastmile.bundle.predictor import SIGNATURE, TRANSFORM
from lastmile.bundle.signature import Signature
from lastmile.errors import PermanentError, SettingsError
from lastmile.pipeline.base import Strict
from lastmile.run import Context, Produced, StageName, code_digest
from lastmile.store import ArtefactRef, Store, digest_of
from lastmile.train.examples import Prepared, prepare_examples
from lastmile.train.gang.supervisor import Outcome, Supervisor
from lastmile.train.tracking import log_training
from lastmile.train.work import BUNDLE, TRAINING, Work

log = logging.getLogger(__name__)


class Trained(Strict):
    """A training that is done but for telling MLflow: the next try starts no gang."""

    artefact: ArtefactRef
    run_id: str
    rows: int
    summary: dict[str, str | int | float | bool | None]


class Stage:
    """Train."""

    code: ClassVar[tuple[str, ...]] = (
        "train", "features", "bundle", "artefacts.dataset", "pipeline.train",
    )  # fmt: skip
    libraries: ClassVar[tuple[str, ...]] = ("keras", "numpy", "onnx", "tf2onnx")
    reusable: ClassVar[bool] = True

    def inputs(self, context: Context, scratch: Path) -> Any:
        """Return the dataset's digest and the part of the pipeline file that training reads."""
        pipeline = context.pipeline
        return {
            "dataset": context.record(StageName.PREPARE).artefact.digest,
            "name": pipeline.name,
            "task": pipeline.task,
            "train": pipeline.train.model_dump(mode="json"),
            "decision_threshold": pipeline.gate.decision_threshold,
            "tensorflow": _tensorflow_version(),
        }

    def execute(self, context: Context, scratch: Path, out: Path) -> Produced:
        """Train with the gang, or take up what an earlier try left."""
        folder = f"checkpoints/{context.pipeline.name}/{self._key(context, scratch)}"
        trained = self._left_by_earlier_try(context, folder)
        if trained is None:
            trained = self._train(context, folder, scratch / "work", out)
        else:
            log.info("The model was trained by an earlier try; only MLflow was not told.")
            _copy_artefact(context.store, trained.artefact, out)
        account = json.loads((out / TRAINING).read_bytes())
        mlflow_run = log_training(context, account, out)
        context.store.delete(folder)
        return Produced(
            summary=trained.summary | {"mlflow_run": mlflow_run},
            rows=trained.rows,
            workers=context.workers,
        )

    def _key(self, context: Context, scratch: Path) -> str:
        """Return the digest of all that training depends on."""
        versions = {name: importlib.metadata.version(name) for name in self.libraries}
        inputs, code = self.inputs(context, scratch), code_digest(self.code)
        return digest_of({"inputs": inputs, "code": code, "libraries": versions})[:32]

    def _left_by_earlier_try(self, context: Context, folder: str) -> Trained | None:
        trained = context.store.read_document(_trained_name(folder), Trained)
        if trained is None or not context.store.has_artefact(trained.artefact):
            return None
        is_wanted_anew = context.options.force and trained.run_id != context.run_id
        return None if is_wanted_anew else trained

    def _train(self, context: Context, folder: str, work: Path, out: Path) -> Trained:
        dataset = context.store.open_artefact(context.record(StageName.PREPARE).artefact)
        prepared = prepare_examples(dataset, context.pipeline.train)
        write_work(context, prepared, folder, work)
        if ignored := prepared.transform.constant_columns:
            log.warning("Of no use, for they never vary in training: %s.", ", ".join(ignored))
        log.info("Training on %d rows of %d values, validating on %d, with %d %s.",
                 len(prepared.train), prepared.train.features.shape[1], len(prepared.validation),
                 context.workers, "worker" if context.workers == 1 else "workers")  # fmt: skip
        try:
            outcome = Supervisor(work, context.workers, context.settings.max_restarts).run()
        except PermanentError:
            context.store.delete(folder)  # whoever mends this trains something else
            raise
        shutil.copytree(work / BUNDLE, out, dirs_exist_ok=True)
        trained = Trained(
            artefact=context.store.put_artefact(StageName.TRAIN, out),
            run_id=context.run_id,
            rows=len(prepared.train),
            summary=_summary(outcome),
        )
        context.store.write_document(_trained_name(folder), trained)
        return trained


def _copy_artefact(store: Store, ref: ArtefactRef, out: Path) -> None:
    """Copy an artefact's files, without its manifest."""
    folder = store.open_artefact(ref)
    for name in store.read_manifest(ref).files:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / name, out / name)


def _trained_name(folder: str) -> str:
    return f"{folder}/trained.json"


def write_work(context: Context, prepared: Prepared, folder: str, work: Path) -> None:
    """Fill a new work folder for the gang; `folder` is where in the store its checkpoints go."""
    pipeline, dataset, settings = context.pipeline, prepared.dataset, context.settings
    work.mkdir()
    Work(
        pipeline=pipeline.name,
        task=pipeline.task,
        train=pipeline.train,
        width=prepared.transform.encoding.width,
        outputs=len(dataset.classes or ()) if pipeline.task == "multiclass" else 1,
        store_url=context.store.url,
        cache=settings.home_path / "cache",
        checkpoints=folder,
        checkpoint_seconds=settings.checkpoint_seconds,
        barrier_seconds=settings.barrier_seconds,
    ).write(work, prepared.train, prepared.validation)
    signature = Signature.of(
        dataset.pipeline,
        dataset.task,
        prepared.transform.schema,
        dataset.classes,
        pipeline.gate.decision_threshold,
    )
    (work / BUNDLE / TRANSFORM).write_text(prepared.transform.to_json())
    (work / BUNDLE / SIGNATURE).write_text(signature.to_json())


def _summary(outcome: Outcome) -> dict[str, str | int | float | bool | None]:
    finished = outcome.finished
    return {
        "epochs": finished.epochs,
        "best_epoch": finished.best_epoch,
        "validation_loss": finished.validation_loss,
        "rows_per_second": round(finished.rows_per_second),
        "restarts": outcome.restarts,
        "resumed_from_step": outcome.resumed_from_step,
    }


def _tensorflow_version() -> str:
    """Return the version of whichever TensorFlow distribution is installed, without importing it."""
    for name in ("tensorflow-cpu", "tensorflow"):
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    raise SettingsError(
        "TensorFlow is not installed.", "Install the `train` extra: uv sync --extra train."
    )
