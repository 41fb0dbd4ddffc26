"""From figures to checks: every reason for the verdict, with its values.

No data is never good news: a figure that is missing, NaN or infinite fails its check. The champion is
the exception that needs a human: that it cannot be compared says nothing against the candidate.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from lastmile.artefacts.verdict import Check, Outcome
from lastmile.pipeline.gate import METRICS, Gate

Figures = Mapping[str, float | None]


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """All that the checks look at."""

    task: str
    primary: str
    rows: int
    absent_classes: tuple[str, ...] = ()
    """Classes without a record in the test split."""
    candidate: Figures = field(default_factory=dict)
    baseline: Figures = field(default_factory=dict)
    """Of the best model that ignores its input, metric by metric."""
    gain: tuple[float, float] | None = None
    """The 95 % interval of how much better than the baseline the primary metric is."""
    champion: Figures | None = None
    """None where there is no champion."""
    beside_champion: Figures = field(default_factory=dict)
    """The candidate, on the rows that the champion is measured on."""
    compared_rows: int = 0
    """How many rows those are."""
    candidate_trouble: str | None = None
    """Why the candidate has no answers that could be measured."""
    champion_trouble: str | None = None
    """Why the champion cannot be compared."""


def judge(gate: Gate, evidence: Evidence) -> tuple[Check, ...]:
    """Return every check, in the order in which people want to read them."""
    return (
        _enough_rows(gate, evidence),
        *_every_class(evidence),
        *_usable_answers(evidence),
        *_thresholds(gate, evidence),
        _better_than_baseline(evidence),
        _not_worse_than_champion(gate, evidence),
    )


def finite(value: float | None) -> float | None:
    """Return the value, or None where it is no finite number."""
    return value if value is not None and math.isfinite(value) else None


def _enough_rows(gate: Gate, evidence: Evidence) -> Check:
    rows = evidence.rows
    if rows == 0:
        outcome, reason = Outcome.FAIL, "The test split is empty: there is nothing to judge by."
    elif rows < gate.min_rows:
        outcome = Outcome.UNSURE
        reason = f"{rows} test rows are too few to judge alone; {gate.min_rows} would do."
    else:
        outcome = Outcome.PASS
        reason = f"{rows} test rows, at least {gate.min_rows} are asked for."
    return Check(
        name="enough test rows", outcome=outcome, value=rows, threshold=gate.min_rows, reason=reason
    )


def _every_class(evidence: Evidence) -> Iterator[Check]:
    if evidence.task == "regression" or evidence.rows == 0:
        return
    absent = evidence.absent_classes
    reason = "Every class has test rows."
    if absent:
        reason = f"No test row is of class {', '.join(absent)}: nobody knows how well it is told."
    yield Check(
        name="every class in the test split",
        outcome=Outcome.FAIL if absent else Outcome.PASS,
        value=len(absent),
        threshold=0,
        reason=reason,
    )


def _usable_answers(evidence: Evidence) -> Iterator[Check]:
    if evidence.rows == 0:
        return
    trouble = evidence.candidate_trouble
    yield Check(
        name="an answer for every test row",
        outcome=Outcome.PASS if trouble is None else Outcome.FAIL,
        value=None,
        threshold=None,
        reason=trouble or f"The model answered all {evidence.rows} test rows with finite numbers.",
    )


def _thresholds(gate: Gate, evidence: Evidence) -> Iterator[Check]:
    for name, least in gate.at_least.items():
        yield _compare(f"{name} at least", evidence.candidate.get(name), least, True, name)
    for name, most in gate.at_most.items():
        yield _compare(f"{name} at most", evidence.candidate.get(name), most, False, name)


def _compare(
    check: str, value: float | None, threshold: float, more_is_better: bool, metric: str
) -> Check:
    value = finite(value)
    bound = "at least" if more_is_better else "at most"
    if value is None:
        return _no_value(check, metric, threshold)
    holds = value >= threshold if more_is_better else value <= threshold
    asked = f"{bound} {threshold:.6g} is asked for"
    return Check(
        name=check,
        outcome=Outcome.PASS if holds else Outcome.FAIL,
        value=value,
        threshold=threshold,
        reason=f"{metric} is {value:.6g}, {asked}."
        if holds
        else f"{metric} is {value:.6g}, but {asked}.",
    )


def _no_value(check: str, metric: str, threshold: float | None) -> Check:
    return Check(
        name=check,
        outcome=Outcome.FAIL,
        value=None,
        threshold=threshold,
        reason=f"{metric} has no value on these rows, and what is not known is not good enough.",
    )


def _better_than_baseline(evidence: Evidence) -> Check:
    check, metric = "better than baseline", evidence.primary
    value = finite(evidence.candidate.get(metric))
    baseline = finite(evidence.baseline.get(metric))
    if value is None or baseline is None:
        return _no_value(check, metric if value is None else f"{metric} of the baseline", baseline)
    outcome, how = _ahead(_gain(evidence, value, baseline), evidence.gain)
    return Check(
        name=check,
        outcome=outcome,
        value=value,
        threshold=baseline,
        reason=f"{metric} is {value:.6g}, the best model that ignores its input has {baseline:.6g}: "
        f"{how}.",
    )


def _ahead(gain: float, interval: tuple[float, float] | None) -> tuple[Outcome, str]:
    """Tell a model that has learnt something from one that was lucky with the test rows."""
    if gain <= 0:
        return Outcome.FAIL, "no better"
    if interval is None:
        return Outcome.UNSURE, f"{gain:.4g} better, but too few rows tell whether that is chance"
    low, high = interval
    between = f"95 %: {low:.4g} to {high:.4g}"
    if low <= 0:
        return Outcome.UNSURE, f"{gain:.4g} better ({between}), which may be chance"
    return Outcome.PASS, f"{gain:.4g} better ({between})"


def _not_worse_than_champion(gate: Gate, evidence: Evidence) -> Check:
    check, metric = "not worse than the champion", evidence.primary
    if evidence.champion_trouble is not None:
        return _unsure(check, evidence, evidence.champion_trouble)
    if evidence.champion is None:
        return Check(
            name=check,
            outcome=Outcome.PASS,
            value=finite(evidence.candidate.get(metric)),
            threshold=None,
            reason="There is no champion yet: this would be the first release.",
        )
    value = finite(evidence.beside_champion.get(metric))
    champion = finite(evidence.champion.get(metric))
    if value is None:
        return _no_value(check, metric, champion)
    if champion is None:
        return _unsure(check, evidence, f"{metric} of the champion has no value on these rows.")
    if evidence.compared_rows < min(gate.min_rows, evidence.rows):
        return _unsure(
            check,
            evidence,
            f"The champion has learnt from all but {evidence.compared_rows} of the {evidence.rows} "
            "test rows: the way rows are split has changed.",
        )
    return _against(check, gate.not_worse_than_champion_by, evidence, value, champion)


def _against(
    check: str, allowed: float, evidence: Evidence, value: float, champion: float
) -> Check:
    more_is_better = METRICS[evidence.task][evidence.primary]
    # The bound first, then one comparison: a value that equals it holds, whatever the rounding.
    bound = champion - allowed if more_is_better else champion + allowed
    holds = value >= bound if more_is_better else value <= bound
    gain = _gain(evidence, value, champion)
    word = "better" if gain > 0 else "worse" if gain < 0 else "the same"
    how = word if gain == 0 else f"{abs(gain):.4g} {word}"
    allowance = f"; {allowed:.4g} worse is allowed" if allowed else ""
    return Check(
        name=check,
        outcome=Outcome.PASS if holds else Outcome.FAIL,
        value=value,
        threshold=finite(bound),
        reason=f"{evidence.primary} is {value:.6g}, the champion's {champion:.6g}: {how}{allowance}"
        f"{_on_which(evidence)}.",
    )


def _on_which(evidence: Evidence) -> str:
    if evidence.compared_rows == evidence.rows:
        return ""
    return f"; on the {evidence.compared_rows} test rows that the champion has not learnt from"


def _unsure(check: str, evidence: Evidence, reason: str) -> Check:
    return Check(
        name=check,
        outcome=Outcome.UNSURE,
        value=finite(evidence.candidate.get(evidence.primary)),
        threshold=None,
        reason=reason,
    )


def _gain(evidence: Evidence, value: float, other: float) -> float:
    return value - other if METRICS[evidence.task][evidence.primary] else other - value
