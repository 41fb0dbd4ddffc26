"""The way back, read from a pipeline's releases."""

from datetime import UTC, datetime

import pytest

from lastmile.deploy.history import ROLLBACK, History
from lastmile.ledger.ledger import Release


def history(steps: str) -> History:
    """Read releases such as `A B <A x:C`: `<` was gone back to by hand, `x:` failed."""
    releases = []
    for number, step in enumerate(steps.split(), 1):
        bundle = step.removeprefix("<").removeprefix("x:")
        releases.append(
            Release(
                id=number,
                pipeline="toy",
                version=ord(bundle) - ord("A") + 1,
                bundle=bundle,
                candidate=bundle.lower(),
                run_id=f"{ROLLBACK}now" if step.startswith("<") else "a run",
                target="process",
                status="failed" if step.startswith("x:") else "superseded",
                address=None,
                reason="",
                created_at=datetime.now(UTC),
                changed_at=datetime.now(UTC),
            )
        )
    return History.of(releases[::-1])


@pytest.mark.parametrize(
    ("steps", "way", "taken_back"),
    [
        ("", "", ""),
        ("A", "A", ""),
        ("A B", "AB", ""),
        ("A x:B", "A", ""),
        ("A B <A", "A", "B"),
        ("A B C <B", "AB", "C"),
        ("A B C <B <A", "A", "BC"),
        ("A B C <A", "A", "BC"),
        ("A B C <B D", "ABD", "C"),
        ("A B <A B", "AB", ""),  # released again, by force
        ("A B <A <B", "AB", "A"),
        ("A B A", "ABA", ""),  # the data was as before: B is the way back, not nothing
        ("A B A <B", "AB", "A"),
        ("A B A C <A", "ABA", "C"),
        ("A B x:C <A x:B", "A", "B"),
    ],
)
def test_the_way_back_and_what_was_taken_back(steps: str, way: str, taken_back: str) -> None:
    found = history(steps)
    assert "".join(step.bundle for step in found.way) == way
    assert found.taken_back == set(taken_back)
    assert (found.previous.bundle if found.previous else "") == way[-2:-1]
