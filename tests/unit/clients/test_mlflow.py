"""MLflow's client against the real MLflow: SQLite and a folder."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lastmile.clients.mlflow import Tracking
from lastmile.errors import ServiceUnavailableError
from lastmile.settings import Settings

BUNDLE_A, BUNDLE_B = "a" * 64, "b" * 64


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One MLflow for the module: making its database takes a second or two."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def tracking(home: Path) -> Tracking:
    return Tracking(f"sqlite:///{home / 'mlflow.db'}", home)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(b"model")
    return folder


def test_a_training_is_kept_with_parameters_curves_metrics_and_bundle(
    tracking: Tracking, bundle: Path, home: Path
) -> None:
    from mlflow import MlflowClient

    mlflow_run = tracking.log_training(
        "toy",
        "run's 1",
        {"epochs": 3, "optimizer": {"kind": "adam", "learning_rate": 0.001}},
        {"loss": [0.9, 0.5, 0.4], "val_loss": [1.0, float("nan"), 0.7]},
        {"best_epoch": 2},
        bundle,
    )

    client = MlflowClient(f"sqlite:///{home / 'mlflow.db'}")
    run = client.get_run(mlflow_run)
    assert run.data.params == {
        "epochs": "3",
        "optimizer.kind": "adam",
        "optimizer.learning_rate": "0.001",
    }
    assert run.data.metrics["best_epoch"] == 2
    assert [m.value for m in client.get_metric_history(mlflow_run, "loss")] == [0.9, 0.5, 0.4]
    assert run.info.status == "FINISHED"
    assert client.get_experiment(run.info.experiment_id).name == "toy"
    stored = home / "mlruns" / "toy" / mlflow_run / "artifacts" / "bundle" / "model.onnx"
    assert stored.read_bytes() == b"model"
    assert tracking.find_training("toy", "run's 1") == mlflow_run
    assert tracking.find_training("toy", "another run") is None


def test_more_points_than_one_batch_takes_are_all_kept(
    tracking: Tracking, bundle: Path, home: Path
) -> None:
    from mlflow import MlflowClient

    parameters = {f"p{i}": i for i in range(150)}
    mlflow_run = tracking.log_training(
        "long", "run-1", parameters, {"loss": [0.5] * 1500}, {}, bundle
    )
    client = MlflowClient(f"sqlite:///{home / 'mlflow.db'}")
    assert len(client.get_metric_history(mlflow_run, "loss")) == 1500
    assert len(client.get_run(mlflow_run).data.params) == 150


def test_a_bundle_has_one_version_however_often_it_is_registered(
    tracking: Tracking, bundle: Path
) -> None:
    first = tracking.register("scores", BUNDLE_A, bundle, None, {"lastmile.run": "run-1"})
    again = tracking.register("scores", BUNDLE_A, bundle, None, {"lastmile.run": "run-2"})
    other = tracking.register("scores", BUNDLE_B, bundle, None, {})
    assert (first, again, other) == (1, 1, 2)


def test_a_version_points_at_the_bundle_that_its_training_kept(
    tracking: Tracking, bundle: Path, home: Path
) -> None:
    from mlflow import MlflowClient

    mlflow_run = tracking.log_training("traced", "run-1", {}, {}, {}, bundle)
    version = tracking.register("traced", BUNDLE_A, bundle, mlflow_run, {})
    known = MlflowClient(f"sqlite:///{home / 'mlflow.db'}").get_model_version(
        "traced", str(version)
    )
    assert known.run_id == mlflow_run
    assert known.source.endswith(f"mlruns/traced/{mlflow_run}/artifacts/bundle")


def test_an_alias_moves_from_version_to_version(tracking: Tracking, bundle: Path) -> None:
    assert tracking.version_of("moving", "champion") is None
    for digest in (BUNDLE_A, BUNDLE_B):
        version = tracking.register("moving", digest, bundle, None, {})
        tracking.set_alias("moving", "champion", version)
        assert tracking.version_of("moving", "champion") == version


def test_an_alias_for_a_version_that_is_not_there_names_mlflow(tracking: Tracking) -> None:
    with pytest.raises(ServiceUnavailableError, match="MLflow could not set the alias champion"):
        tracking.set_alias("moving", "champion", 99)


def test_a_server_that_does_not_answer_is_a_transient_error_with_a_hint(
    tmp_path: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    tracking = Tracking("http://127.0.0.1:9", tmp_path)  # the discard port: nobody listens
    with pytest.raises(ServiceUnavailableError) as caught:
        tracking.log_training("toy", "run-1", {}, {}, {}, bundle)
    assert "LASTMILE_MLFLOW_URL" in caught.value.hint


def test_an_unwritable_home_is_a_lastmile_error(tmp_path: Path, bundle: Path) -> None:
    (tmp_path / "file").write_text("")
    tracking = Tracking(f"sqlite:///{tmp_path / 'file' / 'mlflow.db'}", tmp_path)
    with pytest.raises(ServiceUnavailableError):
        tracking.register("toy", BUNDLE_A, bundle, None, {})


CREATE = """
import sys
from pathlib import Path
from lastmile.clients.mlflow import Tracking
home = Path(sys.argv[1])
bundle = home / "bundle"
bundle.mkdir(parents=True, exist_ok=True)
print(Tracking(f"sqlite:///{home / 'mlflow.db'}", home).register("toy", "a" * 64, bundle, None, {}))
import mlflow.telemetry
assert mlflow.telemetry.get_telemetry_client() is None, "telemetry is on"
"""


@pytest.mark.slow
def test_two_processes_that_make_the_database_at_once_agree_and_report_to_nobody(
    settings: Settings, tmp_path: Path
) -> None:
    hidden = ("PYTEST", "CI", "GITHUB", "MLFLOW", "DO_NOT")  # under tests MLflow is quiet anyway
    environment = {k: v for k, v in os.environ.items() if not k.startswith(hidden)}
    both = [
        subprocess.Popen(
            [sys.executable, "-c", CREATE, str(settings.home_path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            env=environment,
        )
        for _ in range(2)
    ]
    ended = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], ended
    assert [out.strip() for out, _ in ended] == ["1", "1"]
    assert [err for _, err in ended] == ["", ""]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home"]
