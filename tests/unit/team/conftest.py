"""What the team's tests share: events made to order, and the outside systems' stand-ins."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fakes.jira import FakeJira
from fakes.slack import FakeSlack
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
