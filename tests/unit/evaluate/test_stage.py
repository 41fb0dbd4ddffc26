"""The stage on real bundles and real Parquet: every decision, and what it leaves behind."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bundles import write_bundle
from lastmile.artefacts.verdict import Decision, Golden, Outcome, Verdict
from lastmile.bundle.predictor import Predictor
from lastmile.errors import ArtefactError, ExitCode
from lastmile.features.schema import Column, ColumnKind
from lastmile.features.steps import ContractStep
from lastmile.pipeline.definition import Pipeline
from lastmile.run import Context, StageName, execute
from lastmile.store import ArtefactRef
from stages import put_package, put_stage, write_dataset_files

X, COLOUR = Column("x", ColumnKind.NUMBER), Column("colour", ColumnKind.CATEGORY)
MakeContext = Callable[..., Context]


def _rows(count: int, seed: int, noise: float = 0.6) -> tuple[dict[str, Any], list[float]]:
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    x = np.where(labels, 1.0, -1.0) + random.normal(0, noise, count)
    return {"x": x.tolist(), "colour": ["blue"] * count}, labels.tolist()


@pytest.fixture
def context(make_context: MakeContext, make_pipeline: Callable[..., Pipeline]) -> Context:
    return make_context(make_pipeline(gate={"at_least": {"roc_auc": 0.8}}))


@pytest.fixture
def prepare(context: Context, tmp_path: Path) -> Callable[..., ArtefactRef]:
    """Store a dataset for the run; keywords as for `write_dataset_files`."""

    def put(test: Any = None, columns: Any = (X,), context: Context = context, **parts: Any) -> Any:
        folder = tmp_path / "dataset"
        write_dataset_files(
            folder, columns, parts.pop("train", _rows(200, 1)), test or _rows(100, 2), **parts
        )
        return put_stage(context, StageName.PREPARE, folder)

    return put


@pytest.fixture
def train(context: Context, tmp_path: Path) -> Callable[..., ArtefactRef]:
    """Store a bundle for the run; keywords as for `write_bundle`."""

    def put(name: str = "bundle", context: Context = context, **parts: Any) -> ArtefactRef:
        parts = {"task": "binary", "columns": (X,), "classes": ("no", "yes"), **parts}
        return put_stage(context, StageName.TRAIN, write_bundle(tmp_path / name, **parts))

    return put


def _verdict(context: Context) -> tuple[Verdict, Path]:
    record = execute(StageName.EVALUATE, context)
    folder = context.store.open_artefact(record.artefact)
    verdict = Verdict.model_validate_json((folder / "verdict.json").read_bytes())
    codes = {"PROMOTE": ExitCode.DONE, "REJECT": ExitCode.REJECTED, "NEEDS_HUMAN": 4}
    assert record.exit_code == codes[verdict.decision]
    return verdict, folder


def _serve(context: Context, bundle: ArtefactRef, dataset: ArtefactRef | None = None) -> None:
    """Put a bundle into service that has learnt from the run's dataset, or from another."""
    learnt_from = dataset or context.record(StageName.PREPARE).artefact
    release = context.ledger.add_release(
        pipeline="toy",
        version=1,
        bundle=bundle.digest,
        candidate=put_package(context, bundle, learnt_from).digest,
        run_id="run-0",
        target="process",
        status="deploying",
    )
    context.ledger.set_serving(release, "http://127.0.0.1:1")


def _reason(verdict: Verdict, check: str) -> str:
    return next(c.reason for c in verdict.checks if c.name == check)


def test_a_good_first_model_is_promoted_with_metrics_golden_predictions_and_a_report(
    context: Context, prepare: Any, train: Any
) -> None:
    data, bundle = prepare(), train(weights=np.array([[2.0]]))
    verdict, folder = _verdict(context)
    assert verdict.decision is Decision.PROMOTE
    assert (verdict.bundle, verdict.dataset) == (bundle.digest, data.digest)
    assert (verdict.champion, verdict.rows) == (None, 100)
    metric = {m.name: m for m in verdict.metrics}["roc_auc"]
    assert 0.8 < metric.low < metric.value < metric.high <= 1
    assert metric.baseline == 0.5
    assert verdict.resamples == 500

    golden = Golden.model_validate_json((folder / "golden.json").read_bytes())
    assert len(golden.records) == 20
    predictor = Predictor.load(context.store.open_artefact(bundle))
    assert list(golden.answers) == predictor.predict(list(golden.records))
    chances = [answer["probability"] for answer in golden.answers]
    assert chances == sorted(chances)
    assert chances[0] < 0.1
    assert chances[-1] > 0.9
    assert (folder / "report.html").read_text().startswith("<!doctype html>")


def test_a_model_below_a_threshold_is_rejected(context: Context, prepare: Any, train: Any) -> None:
    prepare()
    train(weights=np.array([[-2.0]]))
    verdict, _ = _verdict(context)
    assert verdict.decision is Decision.REJECT
    assert "but at least 0.8 is asked for" in _reason(verdict, "roc_auc at least")


def test_a_model_that_ignores_its_input_is_no_better_than_the_baseline(
    make_context: MakeContext, make_pipeline: Any, prepare: Any, train: Any
) -> None:
    context = make_context(make_pipeline())
    prepare(context=context)
    train(weights=np.array([[0.0]]), context=context)
    verdict, _ = _verdict(context)
    assert {c.name for c in verdict.checks if c.outcome is Outcome.FAIL} == {"better than baseline"}


def test_the_champion_is_measured_on_the_same_rows(
    context: Context, prepare: Any, train: Any
) -> None:
    prepare()
    _serve(context, train("champion", weights=np.array([[1.0]]), bias=4.0))
    train(weights=np.array([[2.0]]))
    verdict, _ = _verdict(context)
    assert verdict.decision is Decision.PROMOTE
    metrics = {m.name: m for m in verdict.metrics}
    assert metrics["roc_auc"].champion == pytest.approx(metrics["roc_auc"].value, abs=1e-3)
    assert metrics["accuracy"].champion < 0.6  # it says yes to nearly all


def test_rows_that_the_champion_has_learnt_from_do_not_count_in_the_comparison(
    context: Context, prepare: Any, train: Any, tmp_path: Path
) -> None:
    """Somebody changed the split: half of today's test rows have taught the champion."""
    names = [f"train-{i}" for i in range(60)] + [f"test-{i}" for i in range(40, 100)]
    before = write_dataset_files(
        tmp_path / "before", (X,), _rows(120, 3), _rows(100, 2), keys={"train": names}
    )
    _serve(
        context,
        train("champion", weights=np.array([[1.0]])),
        context.store.put_artefact("prepare", before),
    )
    prepare()
    train(weights=np.array([[2.0]]))
    verdict, _ = _verdict(context)
    assert verdict.decision is Decision.NEEDS_HUMAN
    assert "all but 40 of the 100 test rows" in _reason(verdict, "not worse than the champion")


def test_a_champion_whose_training_rows_nobody_knows_needs_a_human(
    context: Context, prepare: Any, train: Any
) -> None:
    prepare()
    lost = ArtefactRef(kind="prepare", digest="0" * 64)
    _serve(context, train("champion", weights=np.array([[1.0]])), lost)
    train(weights=np.array([[2.0]]))
    verdict, _ = _verdict(context)
    assert verdict.decision is Decision.NEEDS_HUMAN
    assert "prepare@000000000000 is not in the store" in _reason(
        verdict, "not worse than the champion"
    )


def test_a_model_that_learnt_nothing_but_was_lucky_is_not_promoted(
    make_context: MakeContext, make_pipeline: Any, prepare: Any, train: Any
) -> None:
    context = make_context(make_pipeline(gate={}))
    random = np.random.default_rng(12)
    noise = {"x": random.normal(size=100).tolist(), "colour": ["blue"] * 100}
    labels = (np.arange(100) % 2).tolist()
    lucky = float(np.sign(np.corrcoef(noise["x"], labels)[0, 1]))
    prepare(test=(noise, labels), context=context)
    train(weights=np.array([[lucky]]), context=context)
    verdict, _ = _verdict(context)
    assert verdict.decision is Decision.NEEDS_HUMAN
    assert "may be chance" in _reason(verdict, "better than baseline")


@pytest.mark.parametrize("primary", ["f1", "accuracy", "brier"])
def test_always_yes_is_no_better_than_the_baseline_whatever_the_metric(
    make_context: MakeContext, make_pipeline: Any, prepare: Any, train: Any, primary: str
) -> None:
    context = make_context(make_pipeline(gate={"primary": primary}))
    prepare(context=context)
    train(weights=np.array([[0.0]]), bias=9.0, context=context)
    verdict, _ = _verdict(context)
    assert {c.name for c in verdict.checks if c.outcome is Outcome.FAIL} == {"better than baseline"}


def test_a_model_worse_than_the_champion_is_rejected(
    make_context: MakeContext, make_pipeline: Any, prepare: Any, train: Any
) -> None:
    context = make_context(make_pipeline(gate={"primary": "accuracy"}))
    prepare(context=context)
    _serve(context, train("champion", weights=np.array([[2.0]]), context=context))
    train(weights=np.array([[2.0]]), bias=1.5, context=context)
    verdict, _ = _verdict(context)
    assert {c.name for c in verdict.checks if c.outcome is Outcome.FAIL} == {
        "not worse than the champion"
    }


def test_a_champion_whose_bundle_is_altered_needs_a_human_until_it_is_mended(
    context: Context, prepare: Any, train: Any
) -> None:
    prepare()
    champion = train("champion", weights=np.array([[1.0]]))
    _serve(context, champion)
    train(weights=np.array([[2.0]]))
    model = context.store.open_artefact(champion) / "model.onnx"
    sound = model.read_bytes()
    model.write_bytes(sound[:-1])
    verdict, _ = _verdict(context)
    assert verdict.decision is Decision.NEEDS_HUMAN
    assert "model.onnx of train@" in _reason(verdict, "not worse than the champion")
    model.write_bytes(sound)
    assert _verdict(context)[0].decision is Decision.PROMOTE


def test_a_champion_that_reads_a_column_the_data_no_longer_has_needs_a_human(
    context: Context, prepare: Any, train: Any
) -> None:
    prepare()
    _serve(context, train("champion", columns=(X, COLOUR), vocabularies=(("blue",),)))
    train(weights=np.array([[2.0]]))
    verdict, _ = _verdict(context)
    assert verdict.decision is Decision.NEEDS_HUMAN
    assert "'colour'" in _reason(verdict, "not worse than the champion")


def test_a_champion_that_reads_fewer_columns_is_compared(
    context: Context, prepare: Any, train: Any
) -> None:
    prepare(columns=(X, COLOUR))
    _serve(context, train("champion", weights=np.array([[1.0]])))
    train(columns=(X, COLOUR), vocabularies=(("blue",),), weights=np.array([[2.0], [0]]))
    assert _verdict(context)[0].decision is Decision.PROMOTE


def test_a_champion_whose_contract_refuses_a_row_needs_a_human(
    context: Context, prepare: Any, train: Any
) -> None:
    prepare()
    narrow = Column("x", ColumnKind.NUMBER, maximum=0.5)
    _serve(context, train("champion", columns=(narrow,), steps=(ContractStep(),)))
    train(weights=np.array([[2.0]]))
    verdict, _ = _verdict(context)
    assert verdict.decision is Decision.NEEDS_HUMAN
    assert "above 0.5" in _reason(verdict, "not worse than the champion")


def test_too_few_test_rows_need_a_human(context: Context, prepare: Any, train: Any) -> None:
    prepare(test=_rows(30, 2))
    train(weights=np.array([[2.0]]))
    assert _verdict(context)[0].decision is Decision.NEEDS_HUMAN


def test_an_empty_test_split_is_rejected(context: Context, prepare: Any, train: Any) -> None:
    prepare(test=({"x": [], "colour": []}, []))
    _serve(context, train("champion"))
    train(weights=np.array([[2.0]]))
    verdict, folder = _verdict(context)
    assert verdict.decision is Decision.REJECT
    assert all(m.value is None for m in verdict.metrics)
    assert json.loads((folder / "golden.json").read_text())["records"] == []


def test_a_class_that_no_test_row_has_is_rejected(
    context: Context, prepare: Any, train: Any
) -> None:
    columns, _ = _rows(60, 2)
    prepare(test=(columns, [0.0] * 60))
    train(weights=np.array([[2.0]]))
    verdict, _ = _verdict(context)
    assert verdict.decision is Decision.REJECT
    assert "class yes" in _reason(verdict, "every class in the test split")


def test_answers_that_are_no_numbers_are_rejected(
    context: Context, prepare: Any, train: Any
) -> None:
    columns, labels = _rows(100, 2)
    columns["x"][7] = 3e38
    prepare(test=(columns, labels))
    train(weights=np.array([[1e30]]), bias=float("-inf"))
    verdict, _ = _verdict(context)
    assert verdict.decision is Decision.REJECT
    assert "no finite number" in _reason(verdict, "an answer for every test row")


def test_a_test_row_that_the_model_cannot_use_is_named(
    context: Context, prepare: Any, train: Any
) -> None:
    columns, labels = _rows(100, 2)
    columns["x"][7] = None
    prepare(test=(columns, labels))
    train(weights=np.array([[2.0]]))
    verdict, _ = _verdict(context)
    assert verdict.decision is Decision.REJECT
    assert "test row test-7: x: missing" in _reason(verdict, "an answer for every test row")


@pytest.mark.parametrize("stage", [StageName.PREPARE, StageName.TRAIN])
def test_an_altered_input_is_refused(
    stage: StageName, context: Context, prepare: Any, train: Any
) -> None:
    refs = {StageName.PREPARE: prepare(), StageName.TRAIN: train(weights=np.array([[2.0]]))}
    folder = context.store.open_artefact(refs[stage])
    victim = folder / ("test.parquet" if stage is StageName.PREPARE else "model.onnx")
    victim.write_bytes(victim.read_bytes() + b" ")
    with pytest.raises(ArtefactError, match="altered"):
        execute(StageName.EVALUATE, context)


def test_a_bundle_for_another_task_is_refused(context: Context, prepare: Any, train: Any) -> None:
    prepare()
    train(task="regression", classes=None)
    with pytest.raises(ArtefactError, match="The bundle tells regression"):
        execute(StageName.EVALUATE, context)


def test_a_multiclass_model_is_judged(
    make_context: MakeContext, make_pipeline: Any, prepare: Any, train: Any
) -> None:
    context = make_context(
        make_pipeline(task="multiclass", gate={"at_least": {"macro_f1": 0.6, "roc_auc_ovr": 0.8}})
    )
    random = np.random.default_rng(0)
    labels = np.arange(90) % 3
    rows = {"x": (labels - 1 + random.normal(0, 0.4, 90)).tolist()}, labels.tolist()
    names = ("low", "mid", "high")
    prepare(test=rows, train=rows, task="multiclass", classes=names, context=context)
    train(
        task="multiclass",
        classes=names,
        weights=np.array([[-4.0, 0.0, 4.0]]),
        bias=[0.0, 2.0, 0.0],
        context=context,
    )
    verdict, folder = _verdict(context)
    assert verdict.decision is Decision.PROMOTE, verdict.summary
    assert 'class="matrix"' in (folder / "report.html").read_text()
    golden = Golden.model_validate_json((folder / "golden.json").read_bytes())
    assert {answer["label"] for answer in golden.answers} == set(names)


def test_a_regression_is_judged(
    make_context: MakeContext, make_pipeline: Any, prepare: Any, train: Any
) -> None:
    context = make_context(
        make_pipeline(task="regression", gate={"at_least": {"r2": 0.8}, "at_most": {"mae": 1.0}})
    )
    random = np.random.default_rng(0)
    x = random.normal(0, 3, 80)
    rows = {"x": x.tolist()}, (2 * x + 5 + random.normal(0, 0.5, 80)).tolist()
    prepare(test=rows, train=rows, task="regression", classes=None, context=context)
    train(task="regression", classes=None, weights=np.array([[2.0]]), bias=5.0, context=context)
    verdict, folder = _verdict(context)
    assert verdict.decision is Decision.PROMOTE, verdict.summary
    assert "Predicted over true values" in (folder / "report.html").read_text()


def test_the_verdict_is_reused_until_gate_champion_or_bundle_change(
    context: Context, make_context: MakeContext, make_pipeline: Any, prepare: Any, train: Any
) -> None:
    prepare()
    train(weights=np.array([[2.0]]))
    assert execute(StageName.EVALUATE, context).reused_from is None
    assert execute(StageName.EVALUATE, context).reused_from == "run-1"
    stricter = make_context(make_pipeline(gate={"at_least": {"roc_auc": 0.81}}))
    assert execute(StageName.EVALUATE, stricter).reused_from is None
    _serve(context, train("champion", weights=np.array([[1.0]])))
    assert execute(StageName.EVALUATE, context).reused_from is None


def test_the_report_fetches_nothing_and_shows_what_is_strange_as_text(
    context: Context, prepare: Any, train: Any
) -> None:
    names = ("<b>no</b>", "yes & no")
    prepare(classes=names)
    train(weights=np.array([[2.0]]), classes=names)
    page = (_verdict(context)[1] / "report.html").read_text()
    assert "<b>no</b>" not in page
    assert "&lt;b&gt;no&lt;/b&gt;" in page
    assert not re.search(r"(?:src|href)=|url\(|@import|<script", page)
    assert "prefers-color-scheme:dark" in page
