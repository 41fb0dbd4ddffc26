"""A service of the test's own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from deployed import Service, new_service


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with new_service(tmp_path) as made:
        yield made
