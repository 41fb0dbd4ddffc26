"""How a run ended is told in words that stand alone, once, whatever ended it."""

import json
from pathlib import Path

import pytest

from fakes.nights import Night
from lastmile.artefacts.verdict import Decision
from lastmile.errors import PermanentError, StoreError
from lastmile.ledger.ledger import Ledger
from lastmile.ledger.outbox import read_entries
from lastmile.settings import Settings
from lastmile.team import announce as module
from lastmile.team.announce import announce
from lastmile.team.events import Kind
from lastmile.team.evidence import read_report
from lastmile.team.spool import sweep_spool


def told(ledger: Ledger) -> list[tuple[str, str, str]]:
    """Channel, kind and action of every message, in order."""
    with ledger.read() as connection:
        entries = read_entries(connection, (), ("waiting", "sent", "printed", "dead"))
    return [(e.channel, e.body["event"]["kind"], e.body["action"]) for e in entries]


def test_the_first_release_says_that_there_was_none_before(night: Night, ledger: Ledger) -> None:
    event = announce(night.release("night 1"))
    assert event.kind is Kind.RELEASE
    assert event.headline == "Version 1 of credit_risk is in service: roc_auc 0.93."
    assert event.impact == "Users get version 1 from now on."
    assert event.facts["roc_auc"] == "0.93 (95 %: 0.9 to 0.95), baseline 0.5"
    assert event.facts["Changed"] == "everything: this is the pipeline's first model"
    assert event.links["Served model"] == "http://127.0.0.1:8600"
    assert event.links["Report"].endswith("/report.html")
    assert (event.owner, event.tracker, event.channel) == ("risk-team", "RISK", "risk-models")
    assert told(ledger) == [("jira", "release", "opened"), ("slack", "release", "opened")]


def test_the_next_release_says_what_it_replaces_what_changed_and_how_to_go_back(
    night: Night,
) -> None:
    night.release("night 1")
    event = announce(
        night.release(
            "night 2", 2, "bundle 2", rows=1200, code="c" * 64, libraries={"numpy": "2.5"}
        )
    )
    assert event.impact == "Users get version 2 instead of version 1."
    assert event.hint == "Nothing. If it does harm: lastmile rollback credit_risk"
    changed = event.facts["Changed since version 1"]
    assert "data of loans: 1000 rows" in changed
    assert "→ 1200 rows" in changed
    assert "→ cccccccccccc" in changed
    assert "numpy 2.4.0 → 2.5" in changed


def test_a_release_that_is_told_late_is_compared_with_the_one_before_it(
    night: Night, ledger: Ledger
) -> None:
    night.release("night 1")
    late = night.release("night 2", 2, "bundle 2")
    night.release("night 3", 3, "bundle 3")
    event = announce(late)
    assert event.impact == "Users get version 2 instead of version 1."
    assert "Changed since version 1" in event.facts


def test_a_run_whose_candidate_is_the_champion_says_that_nothing_was_released(
    night: Night, ledger: Ledger
) -> None:
    night.release("night 1")
    event = announce(night.judge("night 2"))
    assert event.kind is Kind.UNCHANGED
    assert "version 1, which answers already: nothing was released" in event.headline
    assert event.impact == "Version 1 still answers."
    assert told(ledger) == [("slack", "unchanged", "opened")]


def test_a_version_that_a_person_took_back_is_told_as_held_back(
    night: Night, ledger: Ledger
) -> None:
    night.release("night 1")
    context = night.judge("night 2", bundle="bundle 2")
    night.package(context, 2)
    reason = (
        "Version 2 was taken back by hand and is not released again by itself; version 1 answers."
    )
    night.deploy(context, 1, released=False, reason=reason)
    event = announce(context)
    assert (event.kind, event.headline) == (Kind.UNCHANGED, reason)
    assert event.impact == "Version 1 still answers; nothing was released."
    assert event.hint.endswith("lastmile run credit_risk --force")
    assert told(ledger) == [("slack", "unchanged", "opened")]


def test_a_rejection_gives_every_reason_and_what_changed_since_the_last_release(
    night: Night, ledger: Ledger
) -> None:
    night.release("night 1")
    night.pipeline = night.pipeline.model_copy(update={"description": "x", "tags": ("a",)})
    event = announce(night.judge("night 2", Decision.REJECT, "bundle 2", rows=500))
    assert event.kind is Kind.REJECTION
    assert event.headline == "The candidate was rejected: roc_auc 0.71 is below 0.75."
    assert event.impact == "Version 1 still answers; nothing was released."
    assert event.facts["Check 'roc_auc at least' failed"] == "roc_auc 0.71 is below 0.75."
    assert not any("recall" in label for label in event.facts)
    assert event.facts["roc_auc"].endswith("champion 0.92, baseline 0.5")
    changed = event.facts["Changed since version 1"]
    assert "→ 500 rows" in changed
    assert "description" in changed, "settings are compared though there is no passport"
    assert "include/pipelines/credit_risk.yaml" in event.hint
    assert told(ledger) == [("jira", "rejection", "opened"), ("slack", "rejection", "opened")]


def test_the_same_rejection_next_night_is_the_same_incident(night: Night, ledger: Ledger) -> None:
    announce(night.judge("night 1", Decision.REJECT, "bundle 1"))
    announce(night.judge("night 2", Decision.REJECT, "bundle 2"))
    assert len(told(ledger)) == 2, "a repeat within the hour is counted, not told"


def test_a_verdict_that_needs_a_human_says_what_the_human_can_do(
    night: Night, ledger: Ledger
) -> None:
    event = announce(night.judge("night 1", Decision.NEEDS_HUMAN))
    assert event.kind is Kind.NEEDS_HUMAN
    assert (
        event.headline
        == "The verdict needs a human: 143 test rows are too few to tell 0.002 apart."
    )
    assert event.impact == "No version of this model answers yet."
    assert "give more test data" in event.hint
    assert told(ledger) == [("jira", "needs_human", "opened"), ("slack", "needs_human", "opened")]


def test_a_dry_run_says_what_would_have_been(night: Night, ledger: Ledger) -> None:
    context = night.judge("try", dry_run=True, requested_by="ada", reason="new columns")
    event = announce(context)
    assert event.kind is Kind.DRY_RUN
    assert event.headline == "Dry run: the candidate would have been released: roc_auc 0.93."
    assert event.facts["Requested by"] == "ada"
    assert event.facts["Reason"] == "new columns"
    assert told(ledger) == [("slack", "dry_run", "opened")]


def test_an_approved_candidate_that_was_not_deployed_is_no_end(
    night: Night, ledger: Ledger
) -> None:
    with pytest.raises(PermanentError, match="has not ended") as caught:
        announce(night.judge("night 1"))
    assert "lastmile package credit_risk --run-id 'night 1'" in caught.value.hint
    assert told(ledger) == []


def test_a_run_without_a_verdict_is_no_end(night: Night) -> None:
    context = night.make_context(night.pipeline, "night 1")
    with pytest.raises(PermanentError, match="no result of stage evaluate"):
        announce(context)


@pytest.mark.parametrize("decision", list(Decision))
def test_an_end_is_told_once_however_often_it_is_announced(
    night: Night, ledger: Ledger, decision: Decision
) -> None:
    is_released = decision is Decision.PROMOTE
    context = night.release("night 1") if is_released else night.judge("night 1", decision)
    first = announce(context)
    again = announce(night.make_context(night.pipeline, "night 1"))
    assert again == first
    assert len(told(ledger)) == 2


def test_a_release_ends_what_was_open_and_says_so(night: Night, ledger: Ledger) -> None:
    announce(night.judge("night 1", Decision.REJECT))
    announce(night.release("night 2", bundle="bundle 2"))
    assert told(ledger)[2:] == [
        ("jira", "release", "opened"),
        ("slack", "release", "opened"),
        ("jira", "release", "recovered"),
        ("slack", "release", "recovered"),
    ]


def test_no_secret_in_a_reason_or_an_address_is_told(night: Night, ledger: Ledger) -> None:
    event = announce(
        night.judge("try", dry_run=True, reason="password=pl4nted-s3cret", requested_by="a\x1b[31m")
    )
    assert "s3cret" not in event.model_dump_json()
    assert "\x1b" not in event.facts["Requested by"]
    with ledger.read() as connection:
        entries = read_entries(connection, (), ("waiting",))
    assert "s3cret" not in json.dumps([e.body for e in entries])


def test_a_ledger_that_takes_nothing_just_now_costs_no_announcement(
    night: Night, settings: Settings, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = night.release("night 1")

    def refuse(*_: object) -> None:
        raise StoreError("The ledger does not answer: locked", "Run again.")

    with monkeypatch.context() as patched:
        patched.setattr(module, "record", refuse)
        announce(context)
        announce(context)
    assert told(ledger) == []
    assert sweep_spool(settings.home_path, ledger) == 1
    announce(context)
    assert told(ledger) == [("jira", "release", "opened"), ("slack", "release", "opened")]


def test_the_report_of_a_run_is_read_from_its_own_store_and_from_nowhere_else(
    night: Night, settings: Settings, tmp_path: Path
) -> None:
    event = announce(night.judge("night 1", Decision.REJECT))
    assert read_report(event, settings) is None, "this one has left no report"
    report = Path(event.links["Report"].removeprefix("file://"))
    report.write_bytes(b"<h1>Report</h1>")
    assert read_report(event, settings) == b"<h1>Report</h1>"
    (tmp_path / "secret").write_text("x")
    store = settings.store
    for link in (
        "",
        f"file://{tmp_path}/secret",
        f"{store}/../secret",
        "https://evil.example/report.html",
    ):
        assert read_report(event.model_copy(update={"links": {"Report": link}}), settings) is None
