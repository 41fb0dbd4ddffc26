"""The tasks of a model's DAG: a stage, the gate before a release, the announcement."""

import json
import logging
import os
from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset, BaseOperator
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from lastmile_airflow.connections import (
    connection_environment,
    source_connections,
    team_connections,
)
from lastmile_airflow.environment import airflow_settings, run_context
from lastmile_airflow.failures import translated
from lastmile_airflow.params import run_options

if TYPE_CHECKING:
    from airflow.sdk import Context as AirflowContext

    from lastmile.artefacts.verdict import Verdict
    from lastmile.run import Context, StageRecord
    from lastmile.runtime import LocalRuntime

PREPARE = "prepare.prepare_dataset"
TRAIN = "train.train_model"
JUDGE = "evaluate.judge_candidate"
APPROVE = "evaluate.is_approved"
PACKAGE = "package.package_release"
RELEASE = "deploy.release_model"
ANNOUNCE = "announce_outcome"
STAGES = {
    PREPARE: "prepare",
    TRAIN: "train",
    JUDGE: "evaluate",
    PACKAGE: "package",
    RELEASE: "deploy",
}
"""Which task does which stage."""

XCOM_BYTES = 2000
"""What a task hands on is small: references and a few facts, never data."""

_LEVELS = {"WARNING": logging.WARNING, "ERROR": logging.ERROR, "CRITICAL": logging.ERROR}


class StageOperator(BaseOperator):
    """Does one stage of a run in a child process, the same command as `lastmile <stage>`.

    A verdict of REJECT or NEEDS_HUMAN is a result, not a failure.
    """

    ui_color = "#e8f0fe"

    def __init__(self, *, pipeline: str, stage: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.pipeline = pipeline
        self.stage = stage
        self._runtime: LocalRuntime | None = None

    def execute(self, context: "AirflowContext") -> dict[str, Any]:
        """Do the stage and hand on where its result is.

        Raises:
            AirflowException: A fault that may pass; Airflow retries.
            AirflowFailException: A fault that will not.
        """
        with translated():
            record = self._run_stage(context)
        result = xcom_of(record)
        for key, value in result["summary"].items():
            self.log.info("%s: %s", key, value)
        self._publish(context, record)
        return result

    def on_kill(self) -> None:
        """End the stage and all that it started; training leaves a checkpoint."""
        if self._runtime is not None:
            self.log.warning("Asked to end: the stage is stopped.")
            self._runtime.stop()

    def _run_stage(self, context: "AirflowContext") -> "StageRecord":
        from lastmile.pipeline.load import load_pipeline
        from lastmile.run import StageName
        from lastmile.runtime import LocalRuntime

        settings = airflow_settings()
        connections = connection_environment(
            source_connections(load_pipeline(self.pipeline, settings))
        )
        self._runtime = LocalRuntime({"LASTMILE_ROOT": str(settings.root), **connections})
        return self._runtime.run(
            StageName(self.stage),
            self.pipeline,
            context["dag_run"].run_id,
            run_options(context["params"], context["dag_run"]),
            self._log_line,
        )

    def _log_line(self, line: str) -> None:
        """Log one line of the stage, at the level that its first word says."""
        first, colon, _ = line.strip().partition(":")
        self.log.log(_LEVELS.get(first, logging.INFO) if colon else logging.INFO, "%s", line)

    def _publish(self, context: "AirflowContext", record: "StageRecord") -> None:
        for outlet in self.outlets:
            if isinstance(outlet, Asset):
                context["outlet_events"][outlet].extra = {
                    "run_id": record.run_id,
                    "digest": record.artefact.digest,
                }


class ReleaseOperator(StageOperator):
    """Puts the candidate into service. Nothing new to release: the task is skipped, and says so."""

    def execute(self, context: "AirflowContext") -> dict[str, Any]:
        """Deploy, and publish the release only if there was one.

        Raises:
            AirflowSkipException: The candidate is the champion.
        """
        result = super().execute(context)
        if result["summary"].get("released") is False:
            context["ti"].xcom_push("return_value", result)
            raise AirflowSkipException("The candidate is the champion: nothing was released.")
        return result


class ApprovalOperator(BaseOperator):
    """The gate before packaging and release: is skipped, and all after it, unless approved.

    Approved means: the verdict in the store is PROMOTE, and the run is no dry run.
    """

    ui_color = "#fff4d6"

    def __init__(self, *, pipeline: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.pipeline = pipeline

    def execute(self, context: "AirflowContext") -> dict[str, Any]:
        """Show the verdict and let the run go on, or skip what would release.

        Raises:
            AirflowSkipException: Not approved; the run ends in success with its verdict told.
        """
        from lastmile.cli import text

        with translated():
            verdict = read_verdict(_context_of(self.pipeline, context))
        for line in text.verdict(verdict).splitlines():
            self.log.info("%s", line)
        told: dict[str, Any] = {
            "decision": verdict.decision.value,
            "bundle": verdict.bundle,
            "summary": verdict.summary[: XCOM_BYTES // 2],
        }
        context["ti"].xcom_push("verdict", told)
        if reason := reason_to_stop(verdict, is_dry_run=bool(context["params"].get("dry_run"))):
            self.log.info("%s", reason)
            raise AirflowSkipException(reason)
        for outlet in self.outlets:
            if isinstance(outlet, Asset):
                context["outlet_events"][outlet].extra = told | {"run_id": context["run_id"]}
        return told


class AnnounceOperator(BaseOperator):
    """Tells the team how the run ended, whatever happened before."""

    def __init__(self, *, pipeline: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.pipeline = pipeline

    def execute(self, context: "AirflowContext") -> dict[str, str]:
        """Put the outcome on record and send the messages that wait.

        A failure is on record already, by the failed task's callback; here it is only sent.

        Raises:
            AirflowException: The ledger does not answer; Airflow retries.
        """
        from lastmile.team.announce import announce
        from lastmile.team.deliver import deliver_now

        with translated():
            run = _context_of(self.pipeline, context)
            failed = self._failed_tasks(context)
            if failed:
                headline = f"The run failed in {', '.join(failed)}; what follows was not run."
            else:
                headline = announce(run).headline
            # This process is this task's own, so its environment may hold what only it needs.
            os.environ.update(connection_environment(team_connections()))
            deliver_now(run.ledger, run.settings)
        self.log.info("%s", headline)
        return {"headline": headline[: XCOM_BYTES // 2]}

    def _failed_tasks(self, context: "AirflowContext") -> list[str]:
        ti = context["ti"]
        states = ti.get_task_states(dag_id=ti.dag_id, run_ids=[ti.run_id])
        return sorted(
            task_id
            for task_id, state in states.get(ti.run_id, {}).items()
            if getattr(state, "value", state) == "failed"
        )


class BrokenPipelineOperator(BaseOperator):
    """The only task of a DAG whose pipeline file is wrong: fails with the file's faults."""

    ui_color = "#fde7e7"

    def __init__(self, *, faults: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.faults = faults

    def execute(self, context: "AirflowContext") -> None:
        """Fail.

        Raises:
            AirflowFailException: Always; says file, line and column.
        """
        self.log.error("%s", self.faults)
        raise AirflowFailException(self.faults)


def xcom_of(record: "StageRecord") -> dict[str, Any]:
    """Return what a stage's task hands on, below 2000 bytes: long summaries lose their end."""
    value: dict[str, Any] = {
        "artefact": record.artefact.model_dump(),
        "exit_code": int(record.exit_code),
        "reused_from": record.reused_from,
        "seconds": record.wall_seconds,
        "summary": {},
    }
    for key, fact in record.summary.items():
        longer = value | {"summary": value["summary"] | {key: fact}}
        if len(json.dumps(longer)) > XCOM_BYTES:
            break
        value = longer
    return value


def read_verdict(context: "Context") -> "Verdict":
    """Read the run's verdict from the store, verified against its digest.

    Raises:
        LastmileError: There is none, or it is altered.
    """
    from lastmile.artefacts.verdict import Verdict
    from lastmile.run import StageName

    folder = context.store.open_artefact(context.record(StageName.EVALUATE).artefact)
    return Verdict.model_validate_json((folder / "verdict.json").read_bytes())


def reason_to_stop(verdict: "Verdict", *, is_dry_run: bool) -> str | None:
    """Return why nothing is released; None where the candidate may go on."""
    from lastmile.artefacts.verdict import Decision

    if verdict.decision is not Decision.PROMOTE:
        return f"Nothing is released. {verdict.summary}"
    if is_dry_run:
        return f"Nothing is released: this is a dry run. {verdict.summary}"
    return None


def _context_of(pipeline: str, context: "AirflowContext") -> "Context":
    return run_context(
        pipeline, context["dag_run"].run_id, run_options(context["params"], context["dag_run"])
    )
