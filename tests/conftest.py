"""What every suite shares: settings whose home is the test's own folder, and pipelines made to order."""

import os
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from lastmile.ledger.ledger import Ledger
from lastmile.pipeline.definition import Pipeline
from lastmile.run import Context, RunOptions
from lastmile.settings import Settings
from lastmile.store import Store
from project import FLOWERS, Project, write_flowers

ROOT = Path(__file__).parent.parent


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was left out, by name and reason."""
    skipped = terminalreporter.getreports("skipped")
    if not skipped:
        return
    reasons: dict[str, list[str]] = {}
    for report in skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        reasons.setdefault(reason.removeprefix("Skipped: "), []).append(report.nodeid)
    terminalreporter.section(f"left out: {len(skipped)} tests")
    for reason, names in sorted(reasons.items()):
        terminalreporter.write_line(f"{len(names)} because {reason}:")
        for name in names:
            terminalreporter.write_line(f"    {name}")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """CI leaves nothing out: there, a test that was skipped has failed."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter is not None and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the developer's own settings or accounts."""
    for name in list(os.environ):
        if name.startswith(("LASTMILE_", "AIRFLOW_")):
            monkeypatch.delenv(name)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings whose root and home are the test's own folder."""
    return Settings(root=tmp_path, home=Path("home"))


@pytest.fixture
def store(settings: Settings) -> Store:
    return Store(settings.store, settings.home_path / "cache")


@pytest.fixture
def ledger(settings: Settings) -> Ledger:
    return Ledger(settings.ledger)


@pytest.fixture
def make_pipeline() -> Callable[..., Pipeline]:
    """Make a pipeline from a minimal one; keyword arguments replace its parts."""

    def make(**parts: Any) -> Pipeline:
        value: dict[str, Any] = {
            "name": "toy",
            "owner": "test-team",
            "task": "binary",
            "data": {
                "sources": [{"name": "rows", "csv": {"path": "rows.csv"}}],
                "label": {"column": "y"},
            },
        }
        return Pipeline.model_validate(value | parts)

    return make


@pytest.fixture
def make_context(
    settings: Settings, store: Store, ledger: Ledger, make_pipeline: Callable[..., Pipeline]
) -> Callable[..., Context]:
    """Make a stage's context over the test's own store and ledger."""

    def make(pipeline: Pipeline | None = None, run_id: str = "run-1", **options: Any) -> Context:
        return Context(
            pipeline=pipeline or make_pipeline(),
            run_id=run_id,
            options=RunOptions(**options),
            settings=settings,
            store=store,
            ledger=ledger,
        )

    return make


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """Give an empty project; what it has in service is ended with the test."""
    made = Project(tmp_path)
    yield made
    if (made.home / "serve").exists():
        made.run("serve", "--stop")


@pytest.fixture
def flowers() -> dict[str, Any]:
    """Give the definition of a small, quick, learnable binary pipeline over `flowers.csv`."""
    return deepcopy(FLOWERS)


@pytest.fixture
def flower_project(project: Project, flowers: dict[str, Any]) -> Project:
    """Give a project with the pipeline `flowers` and its data."""
    project.add("flowers", flowers)
    write_flowers(project.root / "flowers.csv")
    return project
