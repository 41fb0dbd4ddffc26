"""What the team's tests share: events made to order, and the outside systems' stand-ins."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fakes.jira import FakeJira
from fakes.nights import Night
from fakes.slack import FakeSlack
from lastmile.pipeline.definition import Pipeline
from lastmile.run import Context
from lastmile.team.events import Event
from postgres import ledger_url, postgres_server  # noqa: F401 - fixtures


@pytest.fixture
def make_event() -> Callable[..., Event]:
    """Make a failure; keyword arguments replace its parts."""

    def make(**parts: Any) -> Event:
        values: dict[str, Any] = {
            "kind": "failure",
            "pipeline": "credit_risk",
            "run_id": "scheduled__2026-03-01T02:00:00+00:00",
            "stage": "prepare",
            "error_class": "DataError",
            "headline": "The source loans has 0 rows.",
            "hint": "See where it comes from.",
            "owner": "risk-team",
            "tracker": "RISK",
            "channel": "risk-models",
        }
        return Event.model_validate(values | parts)

    return make


@pytest.fixture
def jira() -> Iterator[FakeJira]:
    with FakeJira() as service:
        yield service


@pytest.fixture
def slack() -> Iterator[FakeSlack]:
    with FakeSlack() as service:
        yield service


@pytest.fixture
def accounts(monkeypatch: pytest.MonkeyPatch, jira: FakeJira, slack: FakeSlack) -> None:
    """Give this process an account in both systems."""
    monkeypatch.setenv("LASTMILE_CONNECTION_JIRA", jira.connection_url)
    monkeypatch.setenv("LASTMILE_CONNECTION_SLACK", slack.connection_url)


@pytest.fixture
def night(
    make_context: Callable[..., Context], make_pipeline: Callable[..., Pipeline], tmp_path: Path
) -> Night:
    """Play the stages of `credit_risk`."""
    pipeline = make_pipeline(
        name="credit_risk",
        owner="risk-team",
        gate={"at_least": {"roc_auc": 0.75}},
        team={"tracker": "RISK", "channel": "risk-models"},
    )
    return Night(make_context, tmp_path / "made", pipeline)
