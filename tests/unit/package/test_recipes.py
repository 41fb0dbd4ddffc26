"""What our images are built from: the lock and the code that they need, and nothing else."""

import shutil
import tarfile
from pathlib import Path

import pytest

from lastmile.errors import SettingsError
from lastmile.package.recipes import (
    AIRFLOW,
    RECIPES,
    SERVER,
    TRAINER,
    BuildContext,
    Recipe,
    collect,
)

ROOT = Path(__file__).parents[3]
BASE, PLATFORM = "sha256:" + "1" * 64, "linux/amd64"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Copy what an image is built from."""
    parts = ("dags", "plugins", "include/lastmile", "include/pipelines", "include/images")
    ignored = shutil.ignore_patterns("__pycache__")
    for part in parts:
        shutil.copytree(ROOT / part, tmp_path / part, ignore=ignored)
    for name in ("pyproject.toml", "uv.lock", "README.md"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / ".tools").symlink_to(ROOT / ".tools")
    return tmp_path


def packages(context: BuildContext) -> set[str]:
    lines = context.files["requirements.txt"].decode().splitlines()
    return {line.split("==")[0] for line in lines if "==" in line}


def test_the_server_holds_what_serves(checkout: Path) -> None:
    context = collect(SERVER, checkout)
    assert {"flask", "gunicorn", "onnxruntime", "prometheus-client", "numpy"} <= packages(context)
    assert not {"pandas", "tensorflow", "tensorflow-cpu", "pydantic", "httpx"} & packages(context)
    code = {name.split("/")[2] for name in context.files if name.startswith("src/lastmile/")}
    assert code == {"__init__.py", "py.typed", "errors.py", "bundle", "features", "serve"}


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_every_package_comes_with_its_hash_and_no_file_by_chance(
    recipe: Recipe, checkout: Path
) -> None:
    (checkout / "include/lastmile/serve/.secret").write_text("x")
    (checkout / "include/lastmile/serve/__pycache__").mkdir()
    (checkout / "include/lastmile/serve/__pycache__/x.pyc").write_text("x")
    context = collect(recipe, checkout)
    text = context.files["requirements.txt"].decode()
    assert text.count("==") <= text.count("--hash=sha256:")
    assert not [name for name in context.files if "secret" in name or "__pycache__" in name]
    assert b"USER 10001:10001" in context.files["Dockerfile"]


def test_a_stage_finds_its_code_and_airflow_its_dags(checkout: Path) -> None:
    trainer, airflow = collect(TRAINER, checkout), collect(AIRFLOW, checkout)
    assert "src/include/lastmile/cli/main.py" in trainer.files
    assert "src/include/pipelines/credit_risk.yaml" in trainer.files
    assert {"tensorflow-cpu", "typer"} <= packages(trainer)
    assert {"src/dags/model_pipelines.py", "src/plugins/lastmile_plugin.py"} <= airflow.files.keys()
    assert "apache-airflow" in packages(airflow)


def test_only_a_change_of_what_goes_in_gives_another_key(checkout: Path) -> None:
    def key(recipe: Recipe = SERVER, base: str = BASE) -> str:
        return collect(recipe, checkout).key(base, PLATFORM)

    server, trainer = key(), key(TRAINER)
    (checkout / "include/lastmile/cli/text.py").write_text("# other")
    assert key() == server
    assert key(TRAINER) != trainer
    assert key(base="sha256:" + "2" * 64) != server
    (checkout / "include/lastmile/serve/limits.py").write_text("# other")
    assert key() != server
    server = key()
    (checkout / "include/images/server/Dockerfile").write_text("FROM scratch")
    assert key() != server


def test_the_context_is_the_same_twice_and_keeps_what_is_executable(checkout: Path) -> None:
    first, second = (collect(TRAINER, checkout).to_tar().getvalue() for _ in range(2))
    assert first == second
    with tarfile.open(fileobj=collect(TRAINER, checkout).to_tar()) as archive:
        modes = {entry.name: entry.mode for entry in archive}
    assert modes["bin/lastmile"] == 0o755
    assert modes["src/include/lastmile/run.py"] == 0o644


def test_what_is_no_checkout_and_a_lock_that_does_not_fit_are_told(checkout: Path) -> None:
    (checkout / "uv.lock").write_text("no lock")
    with pytest.raises(SettingsError, match="The lock cannot be read: "):
        collect(SERVER, checkout)
    (checkout / "uv.lock").unlink()
    with pytest.raises(SettingsError, match="is no checkout of Lastmile"):
        collect(SERVER, checkout)
