"""`lastmile run`: a failure is told, wherever there is room for it."""

from pathlib import Path

import pytest

from lastmile.cli.run import _tell_failure
from lastmile.errors import DataError, StoreError
from lastmile.ledger.ledger import Ledger
from lastmile.pipeline.load import load_pipeline
from lastmile.run import Context, RunOptions, StageName
from lastmile.settings import Settings
from lastmile.store import Store
from project import Project


@pytest.fixture
def context(flower_project: Project) -> Context:
    settings = Settings(root=flower_project.root, home=Path("home"))
    settings.home_path.mkdir(parents=True, exist_ok=True)
    return Context(
        pipeline=load_pipeline("flowers", settings),
        run_id="r",
        options=RunOptions(),
        settings=settings,
        store=Store(settings.store, settings.home_path / "cache"),
        ledger=Ledger(settings.ledger),
    )


def test_a_failure_that_nothing_takes_is_printed(
    context: Context, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    error = DataError("The rows are blue.", "Paint them.")

    def silent(*_: object) -> None:
        raise StoreError("The ledger does not answer.", "Wait.")

    context.settings.home_path.rmdir()
    context.settings.home_path.write_text("where the ledger and the spool should be")
    _tell_failure(StageName.PREPARE, context, error)
    told = capsys.readouterr().err
    assert "The rows are blue." in told
    assert "Paint them." in told
    context.settings.home_path.unlink()
    context.settings.home_path.mkdir()
    monkeypatch.setattr("lastmile.team.record.record", silent)
    _tell_failure(StageName.PREPARE, context, error)
    assert "Told here alone" not in capsys.readouterr().err
    assert len(list((context.settings.home_path / "spool").glob("*.json"))) == 1
