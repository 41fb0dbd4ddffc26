"""The verdict: what evaluating hands on.

Files of the artefact: `verdict.json` (this document), `golden.json` (`Golden`: records and the answers
the bundle gave to them, for the smoke test), `report.html`.
"""

from enum import StrEnum
from typing import Any, Literal

from lastmile.pipeline.base import Strict


class Decision(StrEnum):
    """What becomes of the candidate."""

    PROMOTE = "PROMOTE"
    REJECT = "REJECT"
    NEEDS_HUMAN = "NEEDS_HUMAN"


class Outcome(StrEnum):
    """What one check says. UNSURE means that the data does not suffice to tell."""

    PASS = "pass"  # noqa: S105 - no password
    FAIL = "fail"
    UNSURE = "unsure"


class Metric(Strict):
    """One metric on the test split. None where it could not be computed."""

    name: str
    value: float | None
    low: float | None
    """Lower end of the 95 % bootstrap confidence interval."""
    high: float | None
    """Upper end."""
    baseline: float | None
    """The same metric of the trivial model, on the same rows."""
    champion: float | None
    """The same metric of the champion, on the same rows; None without one."""


class Check(Strict):
    """One reason for the verdict."""

    name: str
    """`roc_auc at least`, `better than baseline`, ..."""
    outcome: Outcome
    value: float | None
    threshold: float | None
    reason: str
    """A sentence with the values."""


class Verdict(Strict):
    """`verdict.json`."""

    pipeline: str
    bundle: str
    """Digest of the bundle that was judged."""
    dataset: str
    """Digest of the dataset whose test split it was judged on."""
    champion: str | None
    """Digest of the champion's bundle; None before the first release."""
    rows: int
    """Test rows."""
    decision: Decision
    checks: tuple[Check, ...]
    metrics: tuple[Metric, ...]
    resamples: int = 0
    """How many resamples of the test rows the intervals rest on."""
    skipped_resamples: int = 0
    """How many more were drawn in which a class did not occur."""

    @property
    def summary(self) -> str:
        """One line: the decision and what decided it."""
        against = [c.reason for c in self.checks if c.outcome is not Outcome.PASS]
        return f"{self.decision}: " + (
            "; ".join(against) or f"all {len(self.checks)} checks passed"
        )


def decide(checks: tuple[Check, ...]) -> Decision:
    """Any failed check rejects, any unsure one needs a human; without checks nothing is promoted."""
    outcomes = {check.outcome for check in checks}
    if Outcome.FAIL in outcomes:
        return Decision.REJECT
    if Outcome.UNSURE in outcomes or not checks:
        return Decision.NEEDS_HUMAN
    return Decision.PROMOTE


class Golden(Strict):
    """`golden.json`: what the served model must answer, to 1e-5, before it goes into service."""

    records: tuple[dict[str, Any], ...]
    answers: tuple[dict[str, Any], ...]
    format: Literal[1] = 1
