"""Every test of the ledger runs on SQLite, and on a real PostgreSQL where there is one."""

import pytest

from lastmile.ledger.ledger import Ledger
from postgres import ledger_url, postgres_server  # noqa: F401 - fixtures


@pytest.fixture
def ledger(ledger_url: str) -> Ledger:  # noqa: F811 - the fixture
    return Ledger(ledger_url)
