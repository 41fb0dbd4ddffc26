import json
from datetime import UTC, datetime
from typing import Any

import pytest
from structlog.testing import capture_logs

from lastmile.artefacts.verdict import Check, Decision, Outcome, Verdict
from lastmile.errors import ExitCode
from lastmile.run import StageName, StageRecord
from lastmile.store import ArtefactRef
from lastmile_airflow.operators import StageOperator, reason_to_stop, xcom_of


def record(**parts: Any) -> StageRecord:
    values: dict[str, Any] = {
        "pipeline": "toy",
        "run_id": "manual__1",
        "stage": StageName.EVALUATE,
        "key": "k",
        "artefact": ArtefactRef(kind="evaluate", digest="d" * 64),
        "reused_from": None,
        "exit_code": ExitCode.REJECTED,
        "summary": {"decision": "REJECT", "roc_auc": 0.5},
        "started_at": datetime(2026, 1, 1, tzinfo=UTC),
        "wall_seconds": 1.5,
        "cpu_seconds": 1.0,
        "peak_memory_bytes": 1,
        "rows": 10,
        "workers": 1,
    }
    return StageRecord(**{**values, **parts})


def verdict(decision: Decision) -> Verdict:
    check = Check(
        name="roc_auc at least", outcome=Outcome.FAIL, value=0.5, threshold=0.9, reason="too low"
    )
    return Verdict(
        pipeline="toy", bundle="b", dataset="d", champion=None, rows=10, decision=decision,
        checks=(check,), metrics=(),
    )  # fmt: skip


def test_a_task_hands_on_reference_exit_code_and_facts() -> None:
    assert xcom_of(record()) == {
        "artefact": {"kind": "evaluate", "digest": "d" * 64},
        "exit_code": 3,
        "reused_from": None,
        "seconds": 1.5,
        "summary": {"decision": "REJECT", "roc_auc": 0.5},
    }


def test_what_a_task_hands_on_stays_small() -> None:
    value = xcom_of(record(summary={f"fact {i}": "x" * 100 for i in range(1000)}))
    assert 1000 < len(json.dumps(value)) <= 2000
    assert "fact 0" in value["summary"]


@pytest.mark.parametrize("decision", [Decision.REJECT, Decision.NEEDS_HUMAN])
def test_what_is_not_approved_is_not_released(decision: Decision) -> None:
    assert "too low" in (reason_to_stop(verdict(decision), is_dry_run=False) or "")


def test_a_dry_run_releases_nothing_though_approved() -> None:
    reason = reason_to_stop(verdict(Decision.PROMOTE), is_dry_run=True)
    assert "dry run" in (reason or "")


def test_what_is_approved_goes_on() -> None:
    assert reason_to_stop(verdict(Decision.PROMOTE), is_dry_run=False) is None


@pytest.mark.parametrize(
    ("line", "level"),
    [
        ("epoch 3/60 · loss 0.4", "info"),
        ("WARNING: 12 rows went to quarantine", "warning"),
        ("ERROR: A bug in Lastmile: no", "error"),
        ("Warning signs: none, 100 % sure", "info"),
    ],
)
def test_a_stages_lines_keep_their_level(line: str, level: str) -> None:
    with capture_logs() as logged:
        StageOperator(task_id="t", pipeline="toy", stage="prepare")._log_line(line)
    assert logged == [{"event": line, "log_level": level}]
