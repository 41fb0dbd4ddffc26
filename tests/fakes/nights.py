"""What a night's stages would have left, made straight from values: verdict, passport, release."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lastmile.artefacts.dataset import Dataset, SourceRows
from lastmile.artefacts.passport import Passport, Released
from lastmile.artefacts.verdict import Check, Decision, Metric, Outcome, Verdict
from lastmile.errors import ExitCode
from lastmile.pipeline.base import Strict
from lastmile.pipeline.definition import Pipeline
from lastmile.run import Context, StageName
from lastmile.store import ArtefactRef
from stages import put_stage

CHECKS = {
    Decision.PROMOTE: [("roc_auc at least", Outcome.PASS, "roc_auc 0.93 is at least 0.75.")],
    Decision.REJECT: [
        ("recall at least", Outcome.PASS, "recall 0.81 is at least 0.6."),
        ("roc_auc at least", Outcome.FAIL, "roc_auc 0.71 is below 0.75."),
    ],
    Decision.NEEDS_HUMAN: [
        ("enough rows", Outcome.UNSURE, "143 test rows are too few to tell 0.002 apart."),
    ],
}
EXIT = {
    Decision.PROMOTE: ExitCode.DONE,
    Decision.REJECT: ExitCode.REJECTED,
    Decision.NEEDS_HUMAN: ExitCode.NEEDS_HUMAN,
}


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass
class Night:
    """Plays the stages of runs of one pipeline."""

    make_context: Callable[..., Context]
    folder: Path
    """For what a stage makes before it is stored."""
    pipeline: Pipeline
    refs: list[ArtefactRef] = field(default_factory=list)
    """Every artefact, in order."""

    def judge(
        self,
        run_id: str,
        decision: Decision = Decision.PROMOTE,
        bundle: str = "bundle 1",
        rows: int = 1000,
        **options: Any,
    ) -> Context:
        """Prepare, train and evaluate."""
        context = self.make_context(self.pipeline, run_id, **options)
        loans = SourceRows(name="loans", kind="sql", rows=rows, digest=digest(f"loans {rows}"))
        dataset = Dataset(
            pipeline=self.pipeline.name, task="binary", classes=("N", "Y"), cleaning={},
            rows={"train": rows - 300, "validation": 150, "test": 150}, quarantined=0, sources=(loans,),
        )  # fmt: skip
        self._put(context, StageName.PREPARE, "dataset.json", dataset)
        self._put(context, StageName.TRAIN, "bundle.json", loans)
        champion = context.ledger.champion(self.pipeline.name)
        roc_auc = Metric(
            name="roc_auc", value=0.93 if decision is not Decision.REJECT else 0.71, low=0.9, high=0.95,
            baseline=0.5, champion=0.92 if champion else None,
        )  # fmt: skip
        verdict = Verdict(
            pipeline=self.pipeline.name,
            bundle=digest(bundle),
            dataset=self.refs[-2].digest,
            champion=champion.bundle if champion else None,
            rows=150,
            decision=decision,
            checks=tuple(
                Check(name=name, outcome=outcome, value=None, threshold=None, reason=reason)
                for name, outcome, reason in CHECKS[decision]
            ),
            metrics=(roc_auc,),
        )
        self._put(context, StageName.EVALUATE, "verdict.json", verdict, EXIT[decision])
        return context

    def package(self, context: Context, version: int, **parts: Any) -> ArtefactRef:
        """Write the passport; keyword arguments replace its parts."""
        dataset = Dataset.model_validate_json(
            self._read(context, StageName.PREPARE, "dataset.json")
        )
        verdict = Verdict.model_validate_json(
            self._read(context, StageName.EVALUATE, "verdict.json")
        )
        passport = Passport(
            pipeline=self.pipeline.name, version=version, bundle=verdict.bundle, files={},
            dataset=verdict.dataset, verdict=context.record(StageName.EVALUATE).artefact.digest,
            decision=verdict.decision, metrics=verdict.metrics, sources=dataset.sources,
            rows={}, definition=self.pipeline.model_dump(mode="json"), code=digest("code"), commit=None,
            libraries={"numpy": "2.4.0"}, run_id=context.run_id, requested_by="", reason="",
            created_at="2026-03-01T02:10:00+00:00",
        )  # fmt: skip
        return self._put(
            context, StageName.PACKAGE, "passport.json", passport.model_copy(update=parts)
        )

    def release(
        self,
        run_id: str,
        version: int = 1,
        bundle: str = "bundle 1",
        rows: int = 1000,
        **parts: Any,
    ) -> Context:
        """Do all stages; the model serves."""
        context = self.judge(run_id, bundle=bundle, rows=rows)
        package = self.package(context, version, **parts)
        release = context.ledger.add_release(
            pipeline=self.pipeline.name, version=version, bundle=digest(bundle), candidate=package.digest,
            run_id=run_id, target="process", status="deploying", reason="",
        )  # fmt: skip
        context.ledger.set_serving(release, "http://127.0.0.1:8600")
        self.deploy(context, version, released=True, reason=f"Version {version} answers.")
        return context

    def deploy(self, context: Context, version: int, released: bool, reason: str) -> None:
        """Write how deploying ended."""
        outcome = Released(
            pipeline=self.pipeline.name, version=version, bundle="", released=released, reason=reason,
            release=None, address=None, previous=None, smoke=None,
        )  # fmt: skip
        self._put(context, StageName.DEPLOY, "release.json", outcome)

    def _put(
        self,
        context: Context,
        stage: StageName,
        name: str,
        document: Strict,
        exit_code: ExitCode = ExitCode.DONE,
    ) -> ArtefactRef:
        folder = self.folder / f"{len(self.refs)}"
        folder.mkdir(parents=True)
        (folder / name).write_text(document.model_dump_json())
        self.refs.append(put_stage(context, stage, folder, exit_code))
        return self.refs[-1]

    def _read(self, context: Context, stage: StageName, name: str) -> bytes:
        return (context.store.open_artefact(context.record(stage).artefact) / name).read_bytes()
