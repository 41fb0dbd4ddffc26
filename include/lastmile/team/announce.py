"""Announces how a run ended, read from what its stages left behind."""

import logging

from lastmile.artefacts.dataset import read_dataset
from lastmile.artefacts.verdict import Decision, Metric, Outcome, Verdict
from lastmile.errors import PermanentError, StoreError
from lastmile.ledger.ledger import Release
from lastmile.run import Context, StageName, StageRecord
from lastmile.team.changes import changes_since, last_release, own_release
from lastmile.team.events import Event, Kind
from lastmile.team.evidence import read_passport, read_records, read_released, read_verdict
from lastmile.team.load import rules_or_default
from lastmile.team.record import presentable, record
from lastmile.team.spool import spool

log = logging.getLogger(__name__)

SAID = {Outcome.FAIL: "failed", Outcome.UNSURE: "is unsure"}


def announce(context: Context) -> Event:
    """Tell how a run ended: put it on record, with a message per channel, once.

    Raises:
        PermanentError: The run has not come to an end that could be told: a stage is missing.
        ArtefactError: What a stage left is missing or altered.
        StoreError: The ledger or the store cannot be read.
    """
    event, bundle = _read_end(context)
    event = presentable(event)
    key = f"{event.pipeline}/{event.run_id}/end/{event.kind}/{bundle[:12]}"
    try:
        record(context.ledger, event, key, rules_or_default(context.settings))
    except StoreError as error:  # the run has ended well all the same: a sweep records it later
        log.warning("%s The announcement is spooled.", error)
        spool(context.settings.home_path, event, key)
    return event


def _read_end(context: Context) -> tuple[Event, str]:
    """Return the event and the digest of the bundle that it is about."""
    verdict = read_verdict(context)
    champion = context.ledger.champion(context.pipeline.name)
    if verdict.decision is not Decision.PROMOTE:
        return _judged(context, verdict, champion), verdict.bundle
    if (release := own_release(context)) is not None:
        return _released(context, verdict, release), verdict.bundle
    if champion is not None and champion.bundle == verdict.bundle:
        return _unchanged(context, verdict, champion), verdict.bundle
    if (deployed := read_records(context).get(StageName.DEPLOY)) is not None:
        outcome = read_released(context, deployed.artefact)
        return _held_back(context, verdict, champion, outcome.reason), verdict.bundle
    if context.options.dry_run:
        return _dry_run(context, verdict, champion), verdict.bundle
    raise PermanentError(
        f"Run {context.run_id!r} of {context.pipeline.name} has not ended: its candidate is approved, "
        "but was not deployed.",
        f"Go on: lastmile package {context.pipeline.name} --run-id '{context.run_id}', then deploy.",
    )


def _judged(context: Context, verdict: Verdict, champion: Release | None) -> Event:
    is_rejected = verdict.decision is Decision.REJECT
    against = [check for check in verdict.checks if check.outcome is not Outcome.PASS]
    reasons = "; ".join(check.reason.rstrip(".") for check in against) or "no check was made"
    file = f"include/pipelines/{context.pipeline.name}.yaml"
    if is_rejected:
        headline = f"The candidate was rejected: {reasons}."
        hint = f"See the report; then mend the data or the training, or the gate in {file}."
    else:
        headline = f"The verdict needs a human: {reasons}."
        hint = f"See the report; then give more test data, or change the gate in {file}; run again."
    facts = {f"Check '{check.name}' {SAID[check.outcome]}": check.reason for check in against}
    return _event(
        context,
        Kind.REJECTION if is_rejected else Kind.NEEDS_HUMAN,
        StageName.EVALUATE,
        headline,
        _still_answers(champion),
        hint,
        facts | _common_facts(context, verdict),
        error_class=verdict.decision,
    )


def _released(context: Context, verdict: Verdict, release: Release) -> Event:
    name, before = context.pipeline.name, last_release(context)
    impact = f"Users get version {release.version} from now on."
    hint = ""
    if before is not None:
        impact = f"Users get version {release.version} instead of version {before.version}."
        hint = f"Nothing. If it does harm: lastmile rollback {name}"
    facts = {"Bundle": release.bundle[:12], "Passport": f"lastmile explain {name}"}
    return _event(
        context,
        Kind.RELEASE,
        StageName.DEPLOY,
        f"Version {release.version} of {name} is in service{_primary(context, verdict)}.",
        impact,
        hint,
        _common_facts(context, verdict) | facts,
        links={"Served model": release.address} if release.address else {},
    )


def _unchanged(context: Context, verdict: Verdict, champion: Release) -> Event:
    return _event(
        context,
        Kind.UNCHANGED,
        "",
        f"The candidate is version {champion.version}, which answers already: nothing was released.",
        f"Version {champion.version} still answers.",
        "",
        {"Bundle": verdict.bundle[:12]} | _common_facts(context, verdict),
    )


def _held_back(context: Context, verdict: Verdict, champion: Release | None, reason: str) -> Event:
    """Deploying was done and released nothing, as for a version that a person has taken back."""
    return _event(
        context,
        Kind.UNCHANGED,
        "",
        reason,
        _still_answers(champion),
        f"To release it all the same: lastmile run {context.pipeline.name} --force",
        {"Bundle": verdict.bundle[:12]} | _common_facts(context, verdict),
    )


def _dry_run(context: Context, verdict: Verdict, champion: Release | None) -> Event:
    return _event(
        context,
        Kind.DRY_RUN,
        "",
        f"Dry run: the candidate would have been released{_primary(context, verdict)}.",
        _still_answers(champion),
        f"To release it: lastmile run {context.pipeline.name}",
        _common_facts(context, verdict),
    )


def _event(
    context: Context,
    kind: Kind,
    stage: str,
    headline: str,
    impact: str,
    hint: str,
    facts: dict[str, str],
    links: dict[str, str] | None = None,
    error_class: str = "",
) -> Event:
    pipeline, options = context.pipeline, context.options
    asked = {"Requested by": options.requested_by, "Reason": options.reason}
    evaluated = context.record(StageName.EVALUATE).artefact
    report = f"{context.store.url}/artefacts/{evaluated.digest}/report.html"
    return Event(
        kind=kind,
        pipeline=pipeline.name,
        run_id=context.run_id,
        stage=stage,
        error_class=error_class,
        headline=headline,
        impact=impact,
        hint=hint,
        facts=facts | {label: value for label, value in asked.items() if value},
        links=(links or {}) | {"Report": report},
        owner=pipeline.owner,
        tracker=pipeline.team.tracker,
        channel=pipeline.team.channel,
    )


def _common_facts(context: Context, verdict: Verdict) -> dict[str, str]:
    """The metrics, what changed since the last release, and how the stages went."""
    records = read_records(context)
    prepared = records[StageName.PREPARE].artefact
    packaged = records.get(StageName.PACKAGE)
    passport = read_passport(context, packaged.artefact) if packaged else None
    dataset = read_dataset(context.store.open_artefact(prepared))
    return (
        {metric.name: _metric(metric) for metric in _ordered(context, verdict)}
        | {"Test rows": str(verdict.rows)}
        | changes_since(context, last_release(context), dataset, passport)
        | {"Dataset": prepared.digest[:12]}
        | {"Stages": ", ".join(_how(record) for record in records.values())}
    )


def _ordered(context: Context, verdict: Verdict) -> list[Metric]:
    """The metrics that the gate looks at, the primary one first."""
    gate, primary = context.pipeline.gate, context.pipeline.primary_metric
    looked_at = [primary, *gate.at_least, *gate.at_most]
    found = {metric.name: metric for metric in verdict.metrics}
    return [found[name] for name in dict.fromkeys(looked_at) if name in found]


def _primary(context: Context, verdict: Verdict) -> str:
    metric = next((m for m in verdict.metrics if m.name == context.pipeline.primary_metric), None)
    return f": {metric.name} {_figure(metric.value)}" if metric else ""


def _metric(metric: Metric) -> str:
    said = _figure(metric.value)
    if metric.low is not None and metric.high is not None:
        said += f" (95 %: {_figure(metric.low)} to {_figure(metric.high)})"
    for name, value in (("champion", metric.champion), ("baseline", metric.baseline)):
        if value is not None:
            said += f", {name} {_figure(value)}"
    return said


def _figure(value: float | None) -> str:
    return "not known" if value is None else f"{value:.4g}"


def _how(record: StageRecord) -> str:
    if record.reused_from:
        return f"{record.stage} reused from run {record.reused_from}"
    return f"{record.stage} {record.wall_seconds:.1f} s"


def _still_answers(champion: Release | None) -> str:
    if champion is None:
        return "No version of this model answers yet."
    return f"Version {champion.version} still answers; nothing was released."
