"""The strict stand-ins that the real client libraries talk to."""

from collections.abc import Iterator

import pytest

from fakes.jira import FakeJira
from fakes.slack import FakeSlack


@pytest.fixture
def jira() -> Iterator[FakeJira]:
    with FakeJira() as service:
        yield service


@pytest.fixture
def slack() -> Iterator[FakeSlack]:
    with FakeSlack() as service:
        yield service
