"""`lastmile run`: the stages one after the other, as Airflow does them, each in its own process."""

import logging
import sys
import time
from datetime import UTC, datetime

from lastmile.artefacts.verdict import Verdict
from lastmile.cli.edge import open_context
from lastmile.errors import ExitCode, LastmileError
from lastmile.pipeline.base import Strict
from lastmile.run import Context, RunOptions, StageName, StageRecord
from lastmile.runtime import LocalRuntime
from lastmile.team.announce import announce
from lastmile.team.deliver import deliver_now
from lastmile.team.events import Action, Event, Message, fingerprint

log = logging.getLogger(__name__)

RELEASING = (StageName.PACKAGE, StageName.DEPLOY)


class RunOutcome(Strict):
    """How a run ended."""

    pipeline: str
    run_id: str
    exit_code: ExitCode
    stages: tuple[StageRecord, ...]
    verdict: Verdict | None
    event: Event


def run_pipeline(pipeline: str, run_id: str | None, options: RunOptions) -> RunOutcome:
    """Do all stages of a run, and tell the team how it ended.

    Raises:
        LastmileError: A stage failed; the team has been told.
    """
    run_id = run_id or f"{datetime.now(UTC):%Y-%m-%dT%H-%M-%S}"
    context = open_context(pipeline, run_id, options)
    log.info("Run %s of %s", run_id, context.pipeline.name)
    records: list[StageRecord] = []
    for stage in StageName:
        if options.dry_run and stage in RELEASING:
            break
        record = _do_stage(stage, pipeline, context)
        records.append(record)
        if record.exit_code is not ExitCode.DONE:
            break
    event = announce(context)
    deliver_now(context.ledger, context.settings)
    return RunOutcome(
        pipeline=context.pipeline.name,
        run_id=run_id,
        exit_code=records[-1].exit_code,
        stages=tuple(records),
        verdict=_read_verdict(context, records),
        event=event,
    )


def _do_stage(stage: StageName, pipeline: str, context: Context) -> StageRecord:
    log.info("%s ...", stage)
    started = time.monotonic()
    try:
        record = LocalRuntime().run(
            stage, pipeline, context.run_id, context.options, lambda line: log.info("  %s", line)
        )
    except LastmileError as error:
        _tell_failure(stage, context, error)
        raise
    how = f"reused from run {record.reused_from}" if record.reused_from else "done"
    log.info("%s %s in %.1f s", stage, how, time.monotonic() - started)
    return record


def _tell_failure(stage: StageName, context: Context, error: LastmileError) -> None:
    from lastmile.team.record import record_safely, stage_failure

    key = f"{context.pipeline.name}/{context.run_id}/{stage}"
    event = stage_failure(context.pipeline, context.run_id, stage, error)
    if record_safely(context.settings, event, key) is None:
        _keep_or_print(context, event, key)
    try:
        deliver_now(context.ledger, context.settings)
    except LastmileError as second:  # the first error is the one to report
        log.warning("The team was not told yet: %s", second)


def _keep_or_print(context: Context, event: Event, key: str) -> None:
    """See that an event which the ledger did not take is spooled; else it is told here or nowhere."""
    from lastmile.team.record import presentable
    from lastmile.team.render.console import console_text
    from lastmile.team.spool import spool

    event = presentable(event)
    try:
        spool(context.settings.home_path, event, key)  # the same key twice is one file
    except OSError as error:
        message = Message(
            action=Action.OPENED,
            event=event,
            fingerprint=fingerprint(event),
            occurrences=1,
            opened_at=datetime.now(UTC),
            cause=event.headline,
        )
        why = f"neither the ledger nor {context.settings.home_path} takes it: {error.strerror}"
        sys.stderr.write(console_text(message, f"Told here alone, {why}"))
        sys.stderr.flush()


def _read_verdict(context: Context, records: list[StageRecord]) -> Verdict | None:
    for record in records:
        if record.stage is StageName.EVALUATE:
            folder = context.store.open_artefact(record.artefact)
            return Verdict.model_validate_json((folder / "verdict.json").read_bytes())
    return None
