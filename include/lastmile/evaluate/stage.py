"""The stage: a bundle and a dataset to a verdict."""

from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from lastmile.artefacts.dataset import Dataset, Split, read_dataset, read_records, read_split
from lastmile.artefacts.verdict import Decision, Golden, Metric, Verdict, decide
from lastmile.bundle.predictor import Predictor
from lastmile.errors import ArtefactError, ExitCode
from lastmile.evaluate.baseline import Baseline, baseline
from lastmile.evaluate.bootstrap import Groups, Intervals, bootstrap, difference
from lastmile.evaluate.champion import Comparison, compare
from lastmile.evaluate.checks import Evidence, Figures, finite, judge
from lastmile.evaluate.golden import make_golden
from lastmile.evaluate.metrics import Predictions, measure_once
from lastmile.evaluate.report import render
from lastmile.evaluate.scoring import Scored, score
from lastmile.ledger.ledger import Release
from lastmile.pipeline.gate import METRICS
from lastmile.run import Context, Produced, StageName
from lastmile.store import ArtefactRef

EXIT_CODES = {
    Decision.PROMOTE: ExitCode.DONE,
    Decision.REJECT: ExitCode.REJECTED,
    Decision.NEEDS_HUMAN: ExitCode.NEEDS_HUMAN,
}


class Stage:
    """Judges what training made, by the predictor that serves it."""

    code: ClassVar[tuple[str, ...]] = (
        "evaluate", "artefacts", "bundle", "features", "pipeline.gate",
    )  # fmt: skip
    libraries: ClassVar[tuple[str, ...]] = ("numpy", "onnxruntime", "pyarrow")
    reusable: ClassVar[bool] = True

    def inputs(self, context: Context, scratch: Path) -> Any:
        """Bundle, dataset, champion (and whether it is sound), gate and task."""
        champion = _champion(context)
        return {
            "pipeline": context.pipeline.name,
            "bundle": context.record(StageName.TRAIN).artefact.digest,
            "dataset": context.record(StageName.PREPARE).artefact.digest,
            "champion": champion.bundle if champion else None,
            "champion_is_sound": champion is not None and _is_sound(context, champion),
            "gate": context.pipeline.gate.model_dump(mode="json"),
            "task": context.pipeline.task,
        }

    def execute(self, context: Context, scratch: Path, out: Path) -> Produced:
        """Judge the bundle on the test split.

        Raises:
            ArtefactError: Bundle or dataset are missing, altered or unusable.
        """
        bundle = context.record(StageName.TRAIN).artefact
        data = context.record(StageName.PREPARE).artefact
        folder = context.store.open_artefact(data)
        dataset, test = read_dataset(folder), read_split(folder, "test")
        predictor = Predictor.load(context.store.open_artefact(bundle))
        _refuse_mismatch(predictor, dataset)
        champion = _champion(context)
        trial = _Trial(
            primary=context.pipeline.primary_metric,
            candidate=score(predictor, test),
            baseline=_baseline(dataset, folder, test, predictor.signature.decision_threshold),
            comparison=None
            if champion is None
            else compare(context.store, champion, dataset, test),
            groups=_numbered(test),
        )
        checks = judge(context.pipeline.gate, trial.evidence(context, dataset, test))
        verdict = Verdict(
            pipeline=context.pipeline.name,
            bundle=bundle.digest,
            dataset=data.digest,
            champion=champion.bundle if champion else None,
            rows=len(test),
            decision=decide(checks),
            checks=checks,
            metrics=trial.metrics(dataset.task),
            resamples=trial.intervals.used,
            skipped_resamples=trial.intervals.skipped,
        )
        (out / "verdict.json").write_text(verdict.model_dump_json(indent=1))
        golden = _golden(predictor, folder, trial.candidate)
        (out / "golden.json").write_text(golden.model_dump_json(indent=1))
        page = render(verdict, trial.candidate.predictions, dataset.classes)
        (out / "report.html").write_text(page, encoding="utf-8")
        return Produced(
            summary=_summary(verdict, context.pipeline.primary_metric),
            exit_code=EXIT_CODES[verdict.decision],
            rows=len(test),
        )


class _Trial:
    """Candidate, baseline and champion on the same rows."""

    def __init__(
        self,
        primary: str,
        candidate: Scored,
        baseline: Baseline,
        comparison: Comparison | None,
        groups: Groups | None,
    ) -> None:
        self.candidate = candidate
        self._primary = primary
        self._baseline = baseline
        self._comparison = comparison
        self._groups = groups
        self._figures = _measured(candidate.predictions)
        self._champion_figures = _measured(comparison.champion.predictions) if comparison else {}
        self.intervals = (
            Intervals({}, 0, 0)
            if candidate.predictions is None
            else bootstrap(candidate.predictions, groups)
        )

    def evidence(self, context: Context, dataset: Dataset, test: Split) -> Evidence:
        """Return what the checks look at."""
        names, comparison = dataset.classes or (), self._comparison
        return Evidence(
            task=dataset.task,
            primary=self._primary,
            rows=len(test),
            absent_classes=tuple(
                name for number, name in enumerate(names) if not np.any(test.labels == number)
            ),
            candidate=self._figures,
            baseline=self._baseline.figures,
            gain=self._gain(dataset.task),
            champion=self._champion_figures if comparison else None,
            beside_champion=self._beside_champion(),
            compared_rows=int(comparison.rows.sum()) if comparison else 0,
            candidate_trouble=self.candidate.trouble,
            champion_trouble=comparison.champion.trouble if comparison else None,
        )

    def _gain(self, task: str) -> tuple[float, float] | None:
        """Return the interval of how much better than the baseline the candidate is."""
        ours, trivial = self.candidate.predictions, self._baseline.models.get(self._primary)
        if ours is None or trivial is None:
            return None
        found = difference(ours, trivial, self._primary, self._groups)
        if found is None or METRICS[task][self._primary]:
            return found
        return -found[1], -found[0]

    def _beside_champion(self) -> Figures:
        ours, comparison = self.candidate.predictions, self._comparison
        if ours is None or comparison is None or not comparison.rows.any():
            return {}
        return measure_once(comparison.of(ours))

    def metrics(self, task: str) -> tuple[Metric, ...]:
        """Return every metric of the task, also those without a value."""
        ends = self.intervals.ends
        return tuple(
            Metric(
                name=name,
                value=finite(self._figures.get(name)),
                low=ends[name][0] if name in ends else None,
                high=ends[name][1] if name in ends else None,
                baseline=finite(self._baseline.figures.get(name)),
                champion=finite(self._champion_figures.get(name)),
            )
            for name in METRICS[task]
        )


def _champion(context: Context) -> Release | None:
    return context.ledger.champion(context.pipeline.name)


def _is_sound(context: Context, champion: Release) -> bool:
    kinds = {"train": champion.bundle, "package": champion.candidate}
    return all(
        context.store.has_artefact(ArtefactRef(kind=kind, digest=digest))
        for kind, digest in kinds.items()
    )


def _refuse_mismatch(predictor: Predictor, dataset: Dataset) -> None:
    signature = predictor.signature
    if (signature.task, signature.classes) != (dataset.task, dataset.classes):
        raise ArtefactError(
            f"The bundle tells {signature.task} {signature.classes or ''}, the dataset holds "
            f"{dataset.task} {dataset.classes or ''}.",
            "They are not of one run: train again with --force.",
        )


def _measured(predictions: Predictions | None) -> Figures:
    return {} if predictions is None else measure_once(predictions)


def _baseline(dataset: Dataset, folder: Path, test: Split, threshold: float) -> Baseline:
    labels = read_split(folder, "train").labels
    if not len(labels) or not len(test):
        return Baseline({}, {})
    return baseline(dataset, labels, test, threshold)


def _numbered(test: Split) -> Groups | None:
    """Return the number of each row's group; None where rows stand for themselves."""
    if test.groups is None or not len(test):
        return None
    return np.unique(test.groups.astype(str), return_inverse=True)[1].astype(np.intp)


def _golden(predictor: Predictor, folder: Path, scored: Scored) -> Golden:
    if scored.predictions is None:
        return Golden(records=(), answers=())
    return make_golden(predictor, read_records(folder, "test"), scored.predictions.scores)


def _summary(verdict: Verdict, primary: str) -> dict[str, str | int | float | bool | None]:
    metric = next(metric for metric in verdict.metrics if metric.name == primary)
    return {
        "decision": verdict.decision.value,
        primary: metric.value,
        "low": metric.low,
        "high": metric.high,
        "champion": metric.champion,
        "test rows": verdict.rows,
        "checks passed": sum(check.outcome == "pass" for check in verdict.checks),
        "checks": len(verdict.checks),
    }
