"""The checks: what holds, what fails, what nobody can tell."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastmile.artefacts.verdict import Check, Decision, Outcome, decide
from lastmile.evaluate.checks import Evidence, judge
from lastmile.pipeline.gate import METRICS, Gate

GATE = Gate(at_least={"roc_auc": 0.9}, at_most={"log_loss": 0.4}, not_worse_than_champion_by=0.01)


def _evidence(**changes: Any) -> Evidence:
    good: dict[str, Any] = {
        "task": "binary",
        "primary": "roc_auc",
        "rows": 100,
        "candidate": {"roc_auc": 0.95, "log_loss": 0.2},
        "baseline": {"roc_auc": 0.5, "log_loss": 0.69},
        "gain": (0.4, 0.49),
        "champion": {"roc_auc": 0.94, "log_loss": 0.2},
    }
    given = good | changes
    alike = {"beside_champion": given["candidate"], "compared_rows": given["rows"]}
    return Evidence(**(alike | given))


def _outcomes(checks: tuple[Check, ...]) -> dict[str, Outcome]:
    return {check.name: check.outcome for check in checks if check.outcome is not Outcome.PASS}


def test_a_good_candidate_passes_every_check_with_a_reason() -> None:
    checks = judge(GATE, _evidence())
    assert decide(checks) is Decision.PROMOTE
    assert [check.name for check in checks] == [
        "enough test rows",
        "every class in the test split",
        "an answer for every test row",
        "roc_auc at least",
        "log_loss at most",
        "better than baseline",
        "not worse than the champion",
    ]
    reasons = {check.name: check.reason for check in checks}
    assert reasons["roc_auc at least"] == "roc_auc is 0.95, at least 0.9 is asked for."
    assert "the champion's 0.94: 0.01 better" in reasons["not worse than the champion"]


@pytest.mark.parametrize(
    ("changes", "check", "words"),
    [
        ({"candidate": {"roc_auc": 0.9 - 0.01, "log_loss": 0}, "champion": None}, "roc_auc at least", "0.89"),
        ({"candidate": {"roc_auc": 0.95, "log_loss": 0.41}}, "log_loss at most", "0.41, but"),
        ({"candidate": {"roc_auc": 0.95}}, "log_loss at most", "not known is not good enough"),
        ({"baseline": {"roc_auc": 0.95}}, "better than baseline", "has 0.95: no better."),
        ({"baseline": {}}, "better than baseline", "roc_auc of the baseline has no value"),
        ({"champion": {"roc_auc": 0.97}}, "not worse than the champion", "0.02 worse"),
        ({"absent_classes": ("yes",)}, "every class in the test split", "No test row is of class yes"),
        ({"candidate_trouble": "It broke."}, "an answer for every test row", "It broke."),
    ],
)  # fmt: skip
def test_one_broken_rule_rejects_and_says_why(
    changes: dict[str, Any], check: str, words: str
) -> None:
    checks = judge(GATE, _evidence(**changes))
    assert decide(checks) is Decision.REJECT
    assert _outcomes(checks) == {check: Outcome.FAIL}
    assert words in next(c.reason for c in checks if c.name == check)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), None])
def test_a_figure_that_is_no_number_is_never_good_news(value: float | None) -> None:
    checks = judge(GATE, _evidence(candidate={"roc_auc": value, "log_loss": 0.2}))
    assert decide(checks) is Decision.REJECT
    assert set(_outcomes(checks)) == {
        "roc_auc at least",
        "better than baseline",
        "not worse than the champion",
    }
    assert all(c.value is None or math.isfinite(c.value) for c in checks)


def test_a_value_equal_to_its_threshold_passes() -> None:
    evidence = _evidence(
        candidate={"roc_auc": 0.9, "log_loss": 0.4}, champion={"roc_auc": 0.9 + 0.01}
    )
    assert decide(judge(GATE, evidence)) is Decision.PROMOTE


def test_exactly_as_good_as_the_champion_passes_where_nothing_worse_is_allowed() -> None:
    checks = judge(Gate(), _evidence(champion={"roc_auc": 0.95}))
    assert decide(checks) is Decision.PROMOTE
    assert checks[-1].reason == "roc_auc is 0.95, the champion's 0.95: the same."
    worse = judge(Gate(), _evidence(champion={"roc_auc": 0.97}))
    assert worse[-1].reason == "roc_auc is 0.95, the champion's 0.97: 0.02 worse."


def test_exactly_as_good_as_the_baseline_is_rejected() -> None:
    assert _outcomes(judge(Gate(), _evidence(baseline={"roc_auc": 0.95}))) == {
        "better than baseline": Outcome.FAIL
    }


@pytest.mark.parametrize(
    ("gain", "words"),
    [
        ((-0.02, 0.2), "0.45 better (95 %: -0.02 to 0.2), which may be chance"),
        (None, "too few rows"),
    ],
)
def test_better_than_the_baseline_by_chance_needs_a_human(gain: Any, words: str) -> None:
    checks = judge(GATE, _evidence(gain=gain))
    assert _outcomes(checks) == {"better than baseline": Outcome.UNSURE}
    assert words in next(c.reason for c in checks if c.name == "better than baseline")


def test_the_champion_is_compared_on_rows_that_it_has_not_learnt_from() -> None:
    apart = {"compared_rows": 60, "beside_champion": {"roc_auc": 0.92}}
    check = judge(GATE, _evidence(**apart))[-1]
    assert check.outcome is Outcome.FAIL
    assert check.value == 0.92
    assert check.reason.endswith("; on the 60 test rows that the champion has not learnt from.")
    few = judge(GATE, _evidence(**(apart | {"compared_rows": 49})))[-1]
    assert few.outcome is Outcome.UNSURE
    assert "learnt from all but 49 of the 100" in few.reason


def test_less_is_better_where_the_metric_says_so() -> None:
    evidence = _evidence(primary="log_loss", champion={"log_loss": 0.15})
    assert _outcomes(judge(Gate(), evidence)) == {"not worse than the champion": Outcome.FAIL}
    evidence = _evidence(primary="log_loss", champion={"log_loss": 0.25})
    assert decide(judge(Gate(), evidence)) is Decision.PROMOTE


def test_without_a_champion_the_check_passes_and_says_so() -> None:
    check = judge(GATE, _evidence(champion=None))[-1]
    assert check.outcome is Outcome.PASS
    assert "no champion yet" in check.reason


def test_too_few_rows_need_a_human() -> None:
    checks = judge(GATE, _evidence(rows=49))
    assert decide(checks) is Decision.NEEDS_HUMAN
    assert checks[0].reason == "49 test rows are too few to judge alone; 50 would do."
    assert decide(judge(GATE, _evidence(rows=50))) is Decision.PROMOTE


def test_an_empty_test_split_is_rejected() -> None:
    checks = judge(GATE, _evidence(rows=0, candidate={}, baseline={}, champion={}))
    assert decide(checks) is Decision.REJECT
    assert all(c.outcome is Outcome.FAIL for c in checks)


def test_a_champion_that_cannot_be_compared_needs_a_human() -> None:
    checks = judge(GATE, _evidence(champion={}, champion_trouble="Its bundle is gone."))
    assert _outcomes(checks) == {"not worse than the champion": Outcome.UNSURE}
    assert decide(checks) is Decision.NEEDS_HUMAN


numbers = st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=True), st.floats(-0.5, 1.5))


@st.composite
def cases(draw: st.DrawFn) -> tuple[Gate, Evidence]:
    task = draw(st.sampled_from(list(METRICS)))
    names = list(METRICS[task])
    figures = st.dictionaries(st.sampled_from(names), numbers)
    asked = {n: draw(st.floats(-1, 1)) for n in draw(st.sets(st.sampled_from(names)))}
    gate = Gate(
        at_least={n: v for n, v in asked.items() if METRICS[task][n]},
        at_most={n: v for n, v in asked.items() if not METRICS[task][n]},
        not_worse_than_champion_by=draw(st.floats(0, 1)),
    )
    evidence = Evidence(
        task=task,
        primary=draw(st.sampled_from(names)),
        rows=draw(st.integers(0, 200)),
        absent_classes=draw(st.sampled_from([(), (), ("a",)])),
        candidate=draw(figures),
        baseline=draw(figures),
        gain=draw(st.one_of(st.none(), st.tuples(st.floats(-1, 1), st.floats(-1, 1)))),
        champion=draw(st.one_of(st.none(), figures)),
        beside_champion=draw(figures),
        compared_rows=draw(st.integers(0, 200)),
        candidate_trouble=draw(st.sampled_from([None, None, "trouble"])),
        champion_trouble=draw(st.sampled_from([None, None, "trouble"])),
    )
    return gate, evidence


@given(cases(), st.randoms())
def test_nothing_is_promoted_unless_every_rule_holds(case: Any, random: Any) -> None:
    gate, evidence = case
    checks = judge(gate, evidence)
    decision = decide(checks)
    if decision is Decision.PROMOTE:
        _must_hold(gate, evidence)
    else:
        assert any(check.outcome is not Outcome.PASS for check in checks)
    shuffled = list(checks)
    random.shuffle(shuffled)
    assert decide(tuple(shuffled)) is decision
    assert all(check.reason.endswith((".", "trouble")) for check in checks)


def _must_hold(gate: Gate, evidence: Evidence) -> None:
    """The rules once more, said the other way round."""
    found, more = evidence.candidate, METRICS[evidence.task][evidence.primary]
    assert evidence.rows >= gate.min_rows
    assert evidence.candidate_trouble is evidence.champion_trouble is None
    assert evidence.task == "regression" or not evidence.absent_classes
    assert not any(found[name] < least for name, least in gate.at_least.items())
    assert not any(found[name] > most for name, most in gate.at_most.items())
    value, base = found[evidence.primary], evidence.baseline[evidence.primary]
    assert math.isfinite(value)
    assert math.isfinite(base)
    assert value > base if more else value < base
    assert evidence.gain is not None
    assert evidence.gain[0] > 0
    if evidence.champion is not None:
        champion, allowed = evidence.champion[evidence.primary], gate.not_worse_than_champion_by
        value = evidence.beside_champion[evidence.primary]
        assert value >= champion - allowed if more else value <= champion + allowed


def test_without_checks_nothing_is_promoted() -> None:
    assert decide(()) is Decision.NEEDS_HUMAN
