"""Settings are read once, and a wrong one is named."""

from pathlib import Path

import pytest

from lastmile.errors import SettingsError
from lastmile.settings import Settings, connection_url, load_settings


def test_everything_has_a_default_below_the_root(tmp_path: Path) -> None:
    settings = Settings(root=tmp_path)
    assert settings.store == f"file://{tmp_path}/.lastmile/store"
    assert settings.ledger == f"sqlite:///{tmp_path}/.lastmile/ledger.db"
    assert settings.mlflow == f"sqlite:///{tmp_path}/.lastmile/mlflow.db"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WORKERS", "0"),
        ("TARGET", "moon"),
        ("SERVE_PORTS", "80-90"),
        ("SERVE_PORTS", "9000"),
        ("SERVER_IMAGE", "server:latest"),
    ],
)
def test_a_wrong_value_is_named_with_its_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"LASTMILE_{name}", value)
    with pytest.raises(SettingsError, match=f"LASTMILE_{name} is '{value}'"):
        load_settings()


def test_a_ledgers_password_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LASTMILE_LEDGER_URL", "postgresql://me:hunter2@db/ledger")
    settings = load_settings()
    assert "hunter2" not in repr(settings)
    assert "hunter2" not in settings.model_dump_json()
    assert "hunter2" in settings.ledger


def test_a_missing_connection_says_how_to_give_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError) as caught:
        connection_url("loans_db")
    assert "LASTMILE_CONNECTION_LOANS_DB" in caught.value.hint
    monkeypatch.setenv("LASTMILE_CONNECTION_LOANS_DB", "sqlite:///x.db")
    assert connection_url("loans_db").get_secret_value() == "sqlite:///x.db"
