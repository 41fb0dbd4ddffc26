"""The smoke test: a candidate answers the golden questions as it did when it was judged."""

import math
import statistics
import time
from typing import Any

from lastmile.artefacts.passport import SmokeResult
from lastmile.artefacts.verdict import Golden
from lastmile.deploy.endpoint import Endpoint
from lastmile.deploy.target import Assignment
from lastmile.errors import DataError, DeployError, ServiceUnavailableError

TOLERANCE = 1e-5
"""How far a number may be from the golden one; beyond 1, as a share of it."""

HINT = "The server's log says more. The candidate was sound when it was judged: compare libraries."


def smoke_test(
    endpoint: Endpoint, assignment: Assignment, golden: Golden, seconds: float
) -> SmokeResult:
    """Ask for all golden records at once, then one by one.

    Raises:
        DeployError: A wrong answer, none, or one too late; says which.
    """
    if not golden.records:
        raise DeployError(
            "There are no golden predictions to compare with.",
            "A model that was judged on no row cannot be released.",
        )
    deadline = time.monotonic() + seconds
    differences = [_ask(endpoint, assignment, golden, slice(None), deadline)]
    times = []
    for row in range(len(golden.records)):
        started = time.monotonic()
        differences.append(_ask(endpoint, assignment, golden, slice(row, row + 1), deadline))
        times.append(1000 * (time.monotonic() - started))
    return SmokeResult(
        records=len(golden.records),
        largest_difference=max(differences),
        median_ms=round(statistics.median(times), 3),
        slowest_ms=round(max(times), 3),
    )


def _ask(
    endpoint: Endpoint, assignment: Assignment, golden: Golden, rows: slice, deadline: float
) -> float:
    """Ask for some records, and return the largest difference from what is expected."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise DeployError("The smoke test did not end in time.", HINT)
    try:
        answer = endpoint.predict(golden.records[rows], seconds=left)
    except DataError as error:
        raise DeployError(f"The smoke test failed: {error.headline}", error.hint or HINT) from error
    except ServiceUnavailableError as error:  # its hint is about a model that serves
        raise DeployError(f"The smoke test failed: {error.headline}", HINT) from error
    if answer.get("version") != assignment.version:
        raise DeployError(
            f"The smoke test was answered by version {answer.get('version')!r}, not by "
            f"{assignment.version}.",
            HINT,
        )
    found, expected = answer.get("predictions"), golden.answers[rows]
    if not isinstance(found, list) or len(found) != len(expected):
        raise DeployError(
            f"The smoke test expected {len(expected)} predictions, got {found!r:.200}.", HINT
        )
    first = rows.start or 0
    return max(
        _compare(one, other, f"record {first + index}")
        for index, (one, other) in enumerate(zip(expected, found, strict=True))
    )


def _compare(expected: Any, found: Any, where: str) -> float:
    """Return how far two answers are apart.

    Raises:
        DeployError: Further than they may be, or of another shape.
    """
    if isinstance(expected, dict) and isinstance(found, dict) and expected.keys() == found.keys():
        pairs = [(expected[name], found[name], f"{where}, {name}") for name in expected]
    elif isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        pairs = [
            (one, other, f"{where}[{index}]")
            for index, (one, other) in enumerate(zip(expected, found, strict=True))
        ]
    elif _is_number(expected) and _is_number(found):
        return _difference(expected, found, where)
    elif type(expected) is type(found) and not isinstance(expected, (dict, list)):
        if expected == found:
            return 0.0
        raise _differs(expected, found, where)
    else:
        raise _differs(expected, found, where)
    return max((_compare(*pair) for pair in pairs), default=0.0)


def _difference(expected: float, found: float, where: str) -> float:
    difference = abs(expected - found) / max(1.0, abs(expected))
    if not math.isfinite(difference) or difference > TOLERANCE:
        raise _differs(expected, found, where)
    return difference


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _differs(expected: Any, found: Any, where: str) -> DeployError:
    return DeployError(
        f"The smoke test expected {expected!r:.120} for {where}, got {found!r:.120}.", HINT
    )
