"""How results look in a terminal. Every renderer is pure: a value in, text out."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

import typer

from lastmile.artefacts.passport import Released
from lastmile.artefacts.verdict import Outcome, Verdict
from lastmile.pipeline.base import Strict
from lastmile.run import StageRecord

if TYPE_CHECKING:
    from lastmile.cli.check import Checked
    from lastmile.cli.doctor import Examined
    from lastmile.cli.history import ReleaseList
    from lastmile.cli.predict import Answers
    from lastmile.cli.run import RunOutcome
    from lastmile.cli.serve import ServedModels
    from lastmile.deploy.service import Explained

Shown = TypeVar("Shown", bound=Strict)

_DIGEST = re.compile(r"[0-9a-f]{32,64}(-dirty)?")

SIGNS = {Outcome.PASS: "✓", Outcome.FAIL: "✗", Outcome.UNSURE: "?"}


def show(value: Shown, as_json: bool, render: Callable[[Shown], str]) -> None:
    """Print a result: one JSON document, or text for people."""
    typer.echo(value.model_dump_json() if as_json else render(value))


def table(rows: Iterable[Sequence[str]], header: Sequence[str]) -> str:
    """Lay out rows in columns."""
    lines = [tuple(header), *(tuple(row) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    laid = (
        "  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)) for line in lines
    )
    return "\n".join(line.rstrip() for line in laid)


def figure(value: float | None) -> str:
    """A metric or a threshold, short."""
    return "-" if value is None else f"{value:.4g}"


def facts(summary: Mapping[str, object]) -> list[str]:
    """A stage's facts, each short; a sentence that says it all stands for the others."""
    if "reason" in summary:
        return [str(summary["reason"])]
    return [f"{name} {_short(fact)}" for name, fact in summary.items() if fact is not None]


def _short(fact: object) -> str:
    if isinstance(fact, float):
        return f"{fact:.4g}"
    return str(fact)[:12] if _DIGEST.fullmatch(str(fact)) else str(fact)


def verdict(value: Verdict) -> str:
    """The decision and every check with value, threshold and reason."""
    rows = [
        (f" {SIGNS[c.outcome]} {c.name}", figure(c.value), figure(c.threshold), c.reason)
        for c in value.checks
    ]
    head = f"Verdict: {value.decision} (on {value.rows} test rows)"
    return f"{head}\n{table(rows, ('   check', 'value', 'threshold', 'reason'))}"


def checked(value: "Checked") -> str:
    """The faults as editors like to read them, then the count."""
    lines: list[str] = []
    for problem in value.problems:
        lines.append(str(problem))
        if problem.hint:
            lines.append(f"    hint: {problem.hint}")
    files = f"{len(value.files)} pipeline file{'s' if len(value.files) != 1 else ''}"
    faults = len(value.problems)
    lines.append(
        f"{files}: " + (f"{faults} fault{'s' if faults != 1 else ''}" if faults else "all is well")
    )
    return "\n".join(lines)


def stage_done(value: StageRecord) -> str:
    """What a stage did, in a few lines."""
    how = f"reused from run {value.reused_from}" if value.reused_from else "done"
    head = f"{value.stage} {how} in {value.wall_seconds:.1f} s -> {value.artefact}"
    return "\n".join([head, *(f"  {fact}" for fact in facts(value.summary))])


def ran(value: "RunOutcome") -> str:
    """The stages, the verdict and how it ended."""
    rows = [
        (
            record.stage,
            f"{record.wall_seconds:.1f} s",
            f"reused from {record.reused_from}" if record.reused_from else "done",
            ", ".join(facts(record.summary)),
        )
        for record in value.stages
    ]
    parts = [table(rows, ("stage", "time", "how", "what"))]
    if value.verdict is not None:
        parts.append(verdict(value.verdict))
    parts.append(value.event.headline)
    return "\n\n".join(parts)


def announced(value: Strict) -> str:
    """The headline of what was told."""
    return str(getattr(value, "headline", value))


def predicted(value: "Answers") -> str:
    """One answer a line."""
    lines = [", ".join(f"{k}: {v}" for k, v in answer.items()) for answer in value.predictions]
    return "\n".join([f"{value.model} version {value.version} at {value.address}", *lines])


def served(value: "ServedModels") -> str:
    """Which model answers where."""
    if not value.models:
        return "No model has been released yet."
    rows = [(m.pipeline, m.state, str(m.version or "-"), m.address or "-") for m in value.models]
    problems = [f"{m.pipeline}: {m.problem}" for m in value.models if m.problem]
    return "\n".join([table(rows, ("pipeline", "state", "version", "address")), *problems])


def released(value: "ReleaseList") -> str:
    """The releases, newest first."""
    if not value.releases:
        return f"{value.pipeline} has not been released yet."
    rows = [
        (str(r.version), r.status, when(r.created_at), r.run_id, r.bundle[:12], r.reason)
        for r in value.releases
    ]
    return table(rows, ("version", "status", "since", "run", "bundle", "by, because"))


def rolled_back(value: Released) -> str:
    """Which version answers now, and which one did before."""
    return value.reason


def passport(value: "Explained") -> str:
    """The passport's facts, one a line."""
    metrics = [
        (f"  {m.name}", figure(m.value), f"{figure(m.low)} to {figure(m.high)}")
        for m in value.metrics
    ]
    sources = [
        f"  {s.name} ({s.kind}): {s.rows} rows, sha256 {s.digest[:12]}" for s in value.sources
    ]
    return "\n".join(
        [
            f"{value.pipeline} version {value.version}, made {value.created_at}",
            f"service:   since {when(value.in_service.created_at)}"
            + (f", {value.in_service.reason}" if value.in_service.reason else "")
            + ("" if value.in_service.status == "serving" else "; no longer"),
            f"run:       {value.run_id}, requested by {value.requested_by}"
            + (f", because {value.reason!r}" if value.reason else ""),
            f"bundle:    {value.bundle}",
            f"dataset:   {value.dataset} ({', '.join(f'{n} {c}' for n, c in value.rows.items())})",
            f"verdict:   {value.verdict} ({value.decision})",
            f"code:      {value.code[:12]}, commit {value.commit or 'unknown'}",
            f"libraries: {', '.join(f'{n} {v}' for n, v in value.libraries.items())}",
            "sources:",
            *sources,
            "metrics on the test split, with 95 % intervals:",
            table(metrics, ("  metric", "value", "interval")),
        ]
    )


def examined(value: "Examined") -> str:
    """What works, what does not, and the one thing to mend next."""
    lines = [f" {'✓' if f.is_well else '✗'} {f.subject}: {f.finding}" for f in value.findings]
    mend = next((f for f in value.findings if not f.is_well), None)
    lines.append(f"Next: {mend.remedy}" if mend else "All is well.")
    return "\n".join(lines)


def when(moment: datetime) -> str:
    """A moment as people read it, UTC."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}"
