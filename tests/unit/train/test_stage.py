"""Whole trainings by real gangs. Each start of TensorFlow takes seconds, so trainings are shared."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from lastmile.artefacts.dataset import read_records, read_split
from lastmile.bundle.predictor import Predictor
from lastmile.errors import DataError, ExitCode, ServiceUnavailableError, TrainingError
from lastmile.run import Context, StageName, StageRecord, execute
from unit.train.datasets import context_in, moons_in, put_dataset, two_moons, write_arrays


def train(context: Context) -> tuple[StageRecord, Path]:
    record = execute(StageName.TRAIN, context)
    return record, context.store.open_artefact(record.artefact)


def weights_of(bundle: Path) -> list[Any]:
    graph = onnx.load(bundle / "model.onnx").graph
    return [numpy_helper.to_array(constant) for constant in graph.initializer]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[StageRecord, Path, Context]:
    """A training by one worker."""
    context = moons_in(tmp_path_factory.mktemp("alone"))
    return *train(context), context


def test_the_stage_itself_imports_no_tensorflow() -> None:
    code = "import lastmile.train.stage, sys; print('tensorflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_missing_values_fail_before_any_worker_starts(tmp_path: Path) -> None:
    context = context_in(tmp_path)
    columns, labels = two_moons(200)
    columns["x"][7] = None
    (tmp_path / "dataset").mkdir()
    write_arrays(tmp_path / "dataset", columns, labels)
    put_dataset(context, tmp_path / "dataset")
    with pytest.raises(DataError, match="Column 'x' has 1 missing values"):
        execute(StageName.TRAIN, context)


@pytest.mark.slow
def test_a_bundle_tells_the_classes_apart_through_the_predictor(
    alone: tuple[StageRecord, Path, Context],
) -> None:
    _, bundle, context = alone
    assert {path.name for path in bundle.iterdir()} >= {
        "model.onnx", "transform.json", "signature.json", "training.json",
    }  # fmt: skip
    dataset = context.store.open_artefact(context.record(StageName.PREPARE).artefact)
    answers = Predictor.load(bundle).predict(read_records(dataset, "test"))
    labels = read_split(dataset, "test").labels
    right = [a["label"] == ("yes" if y else "no") for a, y in zip(answers, labels, strict=True)]
    assert np.mean(right) > 0.8
    assert all(0 <= a["probability"] <= 1 for a in answers)


@pytest.mark.slow
def test_the_record_says_what_training_was(alone: tuple[StageRecord, Path, Context]) -> None:
    record, bundle, context = alone
    account = json.loads((bundle / "training.json").read_bytes())
    assert record.rows == 420
    assert record.workers == 1
    assert record.summary["epochs"] == account["epochs"] == 8
    assert record.summary["best_epoch"] == account["best_epoch"]
    assert record.summary["validation_loss"] == min(account["curves"]["validation_loss"])
    assert record.summary["restarts"] == 0
    assert record.summary["resumed_from_step"] is None
    assert account["curves"]["loss"][-1] < account["curves"]["loss"][0]
    assert context.store.list_documents("checkpoints") == []


@pytest.mark.slow
def test_the_signature_names_every_column_and_the_threshold(
    alone: tuple[StageRecord, Path, Context],
) -> None:
    signature = Predictor.load(alone[1]).signature
    assert [(t.name, t.type) for t in signature.inputs] == [
        ("x", "float64"), ("y", "float64"), ("side", "string"),
    ]  # fmt: skip
    assert signature.classes == ("no", "yes")
    assert signature.decision_threshold == 0.5


@pytest.mark.slow
def test_mlflow_has_the_curves_and_the_bundle(alone: tuple[StageRecord, Path, Context]) -> None:
    from lastmile.clients.mlflow import Tracking

    record, _, context = alone
    tracking = Tracking(context.settings.mlflow, context.settings.home_path)
    assert tracking.find_training("toy", "run-1") == record.summary["mlflow_run"]


@pytest.mark.slow
def test_the_same_training_gives_the_same_bytes(
    alone: tuple[StageRecord, Path, Context], tmp_path: Path
) -> None:
    record, _ = train(moons_in(tmp_path, run_id="another"))
    assert record.artefact == alone[0].artefact


@pytest.mark.slow
@pytest.mark.parametrize("workers", [2, 4])
def test_any_number_of_workers_trains_the_same_model(
    alone: tuple[StageRecord, Path, Context], tmp_path: Path, workers: int
) -> None:
    """With dropout, class weights, weight decay and batches that divide into nothing."""
    record, bundle = train(moons_in(tmp_path, workers))
    assert record.workers == workers
    for mine, theirs in zip(weights_of(alone[1]), weights_of(bundle), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-6, rtol=0)


@pytest.mark.slow
def test_several_classes_with_a_schedule_and_the_best_weights_restored(tmp_path: Path) -> None:
    from sklearn.datasets import load_wine

    wine = load_wine(as_frame=True)
    context = context_in(
        tmp_path,
        task="multiclass",
        model={"units": [16], "activation": "gelu"},
        optimizer={
            "kind": "sgd",
            "nesterov": True,
            "learning_rate": {"kind": "cosine", "initial": 0.05, "warmup_epochs": 1},
        },
        batch_size=16,
        epochs=60,
        early_stopping={"patience": 3, "min_delta": 0.01},
    )
    order = np.random.default_rng(1).permutation(len(wine.target))
    columns = {name: wine.data[name].to_numpy()[order].tolist() for name in wine.feature_names}
    (tmp_path / "dataset").mkdir()
    write_arrays(
        tmp_path / "dataset", columns, wine.target.to_numpy()[order].tolist(),
        "multiclass", ("barolo", "grignolino", "barbera"),
    )  # fmt: skip
    put_dataset(context, tmp_path / "dataset")
    _, bundle = train(context)
    predictor = Predictor.load(bundle)

    answers = predictor.predict(read_records(tmp_path / "dataset", "test"))
    labels = read_split(tmp_path / "dataset", "test").labels.astype(int)
    named = np.array(["barolo", "grignolino", "barbera"])[labels]
    assert np.mean([answer["label"] for answer in answers] == named) > 0.9
    assert all(sum(a["probabilities"]) == pytest.approx(1, abs=1e-5) for a in answers)

    account = json.loads((bundle / "training.json").read_bytes())
    losses = account["curves"]["validation_loss"]
    assert account["stopped_early"]
    assert len(losses) == account["best_epoch"] + 3
    assert account["validation_loss"] == losses[account["best_epoch"] - 1] != losses[-1]
    validation = read_split(tmp_path / "dataset", "validation")
    scores = predictor.score_batch(validation.batch)
    likelihood = scores[np.arange(len(validation)), validation.labels.astype(int)]
    assert -np.log(likelihood).mean() == pytest.approx(account["validation_loss"], rel=1e-4)


@pytest.mark.slow
def test_a_regression_answers_in_the_targets_own_unit(tmp_path: Path) -> None:
    from sklearn.datasets import load_diabetes

    diabetes = load_diabetes(as_frame=True)
    context = context_in(
        tmp_path,
        task="regression",
        model={"units": [16], "activation": "tanh", "l2": 0.01},
        optimizer={
            "kind": "adam",
            "learning_rate": {"kind": "exponential", "initial": 0.02, "decay": 0.9},
        },
        batch_size=64,
        epochs=25,
        class_weights=None,
    )
    columns = {name: diabetes.data[name].tolist() for name in diabetes.feature_names}
    target = 1000 + 10 * diabetes.target.to_numpy()
    (tmp_path / "dataset").mkdir()
    write_arrays(tmp_path / "dataset", columns, target.tolist(), "regression")
    put_dataset(context, tmp_path / "dataset")
    _, bundle = train(context)
    answers = Predictor.load(bundle).predict(read_records(tmp_path / "dataset", "test"))
    truth = read_split(tmp_path / "dataset", "test").labels
    errors = np.array([a["value"] for a in answers]) - truth
    assert 1 - (errors**2).sum() / ((truth - truth.mean()) ** 2).sum() > 0.3


@pytest.mark.slow
def test_a_loss_that_is_no_number_ends_training_for_good(tmp_path: Path) -> None:
    context = moons_in(
        tmp_path, class_weights={"yes": 1e38}, optimizer={"kind": "sgd", "learning_rate": 1e9}
    )
    with pytest.raises(TrainingError) as caught:
        execute(StageName.TRAIN, context)
    assert "in epoch 1" in caught.value.headline
    assert "smaller learning_rate (now 1e+09)" in caught.value.hint
    assert context.store.list_documents("checkpoints") == []


@pytest.mark.slow
def test_without_mlflow_the_bundle_is_kept_and_the_next_try_is_quick(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broken = tmp_path / "no folder"
    broken.write_text("a file where MLflow's database should be")
    options: dict[str, Any] = {"epochs": 2}
    context = moons_in(
        tmp_path, settings={"mlflow_url": f"sqlite:///{broken}/mlflow.db"}, **options
    )
    monkeypatch.setattr("lastmile.train.tracking.PAUSE_SECONDS", 0.01)
    with pytest.raises(ServiceUnavailableError), caplog.at_level("WARNING"):
        execute(StageName.TRAIN, context)
    assert "Trying again (3 of 3)" in caplog.text
    caplog.clear()
    with caplog.at_level("INFO"):
        record, bundle = train(moons_in(tmp_path, **options))
    assert "trained by an earlier try" in caplog.text
    assert "Started worker" not in caplog.text
    assert record.summary["epochs"] == 2
    Predictor.load(bundle)
    assert context.store.list_documents("checkpoints") == []


def test_a_worker_started_without_a_gang_says_what_is_missing(tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "TF_CONFIG"}
    done = subprocess.run(
        [sys.executable, "-m", "lastmile.train.gang.member", "--work", str(tmp_path)],
        capture_output=True, text=True, env=environment, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == ExitCode.WRONG_INPUT
    assert "TF_CONFIG is '': no gang of workers." in done.stderr
    assert '"event":"failed"' in done.stdout
