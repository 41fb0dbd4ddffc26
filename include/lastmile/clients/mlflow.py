"""MLflow: what each training was and gave, and the registry of models with its two aliases.

One experiment and one registered model per pipeline; one version per bundle. The embedded default is a
SQLite file and a folder; with a tracking server the same calls go over HTTP. Nothing is sent to
MLflow's makers: telemetry is switched off before the SDK is imported.
"""

import fcntl
import logging
import os
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from lastmile.errors import ServiceUnavailableError

if TYPE_CHECKING:
    from mlflow import MlflowClient

RUN_TAG = "lastmile.run"
BUNDLE_TAG = "lastmile.bundle"
ARTEFACTS = "bundle"
"""The folder of a run's artefacts that holds the bundle."""

METRICS_PER_BATCH, PARAMETERS_PER_BATCH = 1000, 100
LONGEST_PARAMETER = 6000
"""MLflow's own limits."""

ENVIRONMENT = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}
"""MLflow's defaults would hold a stage for many minutes when the server is gone; the stage is retried."""


class Tracking:
    """One MLflow. Cheap to make; connects on first use."""

    def __init__(self, url: str, home: Path) -> None:
        """Connect nothing yet.

        Args:
            url: A tracking URI, `sqlite:////path/mlflow.db` or `https://...`.
            home: Where the embedded MLflow keeps artefacts, in `mlruns`.
        """
        self._url = url
        self._home = home

    def log_training(
        self,
        pipeline: str,
        run_id: str,
        parameters: Mapping[str, Any],
        curves: Mapping[str, Sequence[float]],
        metrics: Mapping[str, float],
        artefacts: Path,
    ) -> str:
        """Keep one training: parameters, a curve per epoch, final metrics, and the bundle.

        Returns:
            The id of the MLflow run.

        Raises:
            ServiceUnavailableError: MLflow does not answer.
        """
        with self._reporting("keep the training"):
            from mlflow.entities import Metric, Param

            client, now = self._client, int(time.time() * 1000)
            run = client.create_run(
                self._experiment(pipeline), tags={RUN_TAG: run_id}, run_name=run_id
            )
            points = [Metric(name, float(value), now, 0) for name, value in metrics.items()]
            for name, curve in curves.items():
                points += [Metric(name, float(value), now, i) for i, value in enumerate(curve)]
            given = [Param(name, text) for name, text in _flat(parameters)]
            for batch in _batches(points, METRICS_PER_BATCH):
                client.log_batch(run.info.run_id, metrics=batch)
            for chosen in _batches(given, PARAMETERS_PER_BATCH):
                client.log_batch(run.info.run_id, params=chosen)
            client.log_artifacts(run.info.run_id, str(artefacts), ARTEFACTS)
            client.set_terminated(run.info.run_id)
            return str(run.info.run_id)

    def find_training(self, pipeline: str, run_id: str) -> str | None:
        """Return the MLflow run of a run's newest finished training, or None.

        Raises:
            ServiceUnavailableError: MLflow does not answer.
        """
        with self._reporting("find the training"):
            found = self._client.search_runs(
                [self._experiment(pipeline)],
                f"tags.`{RUN_TAG}` = {_quoted(run_id)} and attributes.status = 'FINISHED'",
                max_results=1,
                order_by=["attributes.start_time DESC"],
            )
            return str(found[0].info.run_id) if found else None

    def register(
        self,
        pipeline: str,
        bundle_digest: str,
        bundle_folder: Path,
        mlflow_run_id: str | None,
        tags: Mapping[str, str],
    ) -> int:
        """Return the version of a bundle in the registry; a bundle not yet known gets a new one.

        Raises:
            ServiceUnavailableError: MLflow does not answer.
        """
        with self._reporting("register the model"):
            if known := self._versions(pipeline, bundle_digest):
                return min(known)
            self._make_model(pipeline)
            source = str(bundle_folder)
            if mlflow_run_id is not None:  # a server takes no other place than the run's own
                run = self._client.get_run(mlflow_run_id)
                source = f"{run.info.artifact_uri}/{ARTEFACTS}"
            made = self._client.create_model_version(
                pipeline, source, mlflow_run_id, tags={**tags, BUNDLE_TAG: bundle_digest}
            )
            # Somebody else may have registered the same bundle at this moment: the first one counts.
            first = min(self._versions(pipeline, bundle_digest))
            if first != int(made.version):
                self._client.delete_model_version(pipeline, made.version)
            return first

    def set_alias(self, pipeline: str, alias: str, version: int) -> None:
        """Point an alias, `champion` or `candidate`, at a version.

        Raises:
            ServiceUnavailableError: MLflow does not answer, or has no such version.
        """
        with self._reporting(f"set the alias {alias}"):
            self._client.set_registered_model_alias(pipeline, alias, str(version))

    def version_of(self, pipeline: str, alias: str) -> int | None:
        """Return the version an alias points at, or None.

        Raises:
            ServiceUnavailableError: MLflow does not answer.
        """
        with self._reporting(f"read the alias {alias}"):
            found = self._client.search_registered_models(f"name = '{pipeline}'")
            aliases = found[0].aliases if found else {}
            return int(aliases[alias]) if alias in aliases else None

    # Inside

    @cached_property
    def _client(self) -> "MlflowClient":
        os.environ.update(ENVIRONMENT)
        for name, value in PATIENCE.items():
            os.environ.setdefault(name, value)
        from mlflow import MlflowClient

        # Its migrations report each of their steps.
        for name in ("alembic", "mlflow.store.db.utils"):
            logging.getLogger(name).setLevel(logging.WARNING)
        self._create_database()
        return MlflowClient(tracking_uri=self._url, registry_uri=self._url)

    def _create_database(self) -> None:
        """Make the SQLite file under another name, then rename it: nobody sees it half made."""
        from mlflow import MlflowClient

        if not self._url.startswith("sqlite:///"):
            return
        path = Path(self._url.removeprefix("sqlite:///"))
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.with_name(f"{path.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if path.exists():
                return
            part = path.with_name(f"{path.name}.part")
            part.unlink(missing_ok=True)
            MlflowClient(f"sqlite:///{part}", f"sqlite:///{part}").search_experiments()
            part.rename(path)

    def _experiment(self, pipeline: str) -> str:
        from mlflow.exceptions import MlflowException

        if found := self._client.get_experiment_by_name(pipeline):
            return str(found.experiment_id)
        place = None
        if urlsplit(self._url).scheme == "sqlite":
            place = (self._home / "mlruns" / pipeline).absolute().as_uri()
        try:
            return str(self._client.create_experiment(pipeline, artifact_location=place))
        except MlflowException:
            if found := self._client.get_experiment_by_name(pipeline):
                return str(found.experiment_id)  # another process was faster
            raise

    def _make_model(self, pipeline: str) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self._client.create_registered_model(pipeline)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _versions(self, pipeline: str, bundle_digest: str) -> list[int]:
        found = self._client.search_model_versions(
            f"name = '{pipeline}' and tags.`{BUNDLE_TAG}` = '{bundle_digest}'"
        )
        return [int(version.version) for version in found]

    @contextmanager
    def _reporting(self, verb: str) -> Iterator[None]:
        try:
            with warnings.catch_warnings():
                # MLflow still uses a loader of SQLAlchemy that goes away in a later version.
                warnings.filterwarnings(
                    "ignore", "The ``noload`` loader strategy", DeprecationWarning
                )
                yield
        except Exception as error:
            if not _is_outside(error):
                raise
            cause = (str(error).splitlines() or [type(error).__name__])[0]
            raise ServiceUnavailableError(
                f"MLflow could not {verb}: {cause}",
                "See that it runs and that LASTMILE_MLFLOW_URL is right; then run again.",
            ) from error


def _is_outside(error: Exception) -> bool:
    """Whether an exception comes from MLflow, its database or its files, not from a bug of ours."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    return isinstance(error, (MlflowException, SQLAlchemyError, OSError))


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield `a.b` and a text for each value of nested mappings."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", str(value)[:LONGEST_PARAMETER]


def _batches(items: Sequence[Any], size: int) -> Iterator[list[Any]]:
    for start in range(0, len(items), size):
        yield list(items[start : start + size])


def _quoted(text: str) -> str:
    """Return a text as MLflow's filters take it; they know no escape."""
    quote = '"' if "'" in text else "'"
    return f"{quote}{text}{quote}"
