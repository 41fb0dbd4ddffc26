"""Recording: once per key, one open incident per cause, all or nothing, and never in a callback's way."""

import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from lastmile.errors import DataError
from lastmile.ledger.incidents import Incident, OutboxEntry, read_incidents
from lastmile.ledger.ledger import Ledger
from lastmile.ledger.outbox import read_entries
from lastmile.ledger.tables import incidents, leases, outbox, sightings
from lastmile.pipeline.definition import Pipeline
from lastmile.settings import Settings
from lastmile.team.events import Event, Message
from lastmile.team.record import is_recorded, record, record_safely, stage_failure
from lastmile.team.spool import sweep_spool

MakeEvent = Callable[..., Event]


def all_incidents(ledger: Ledger) -> list[Incident]:
    with ledger.read() as connection:
        return read_incidents(connection, range(1, 1000))


def all_messages(ledger: Ledger) -> list[OutboxEntry]:
    with ledger.read() as connection:
        return read_entries(connection, (), ("waiting", "sent", "printed", "dead"))


def told(ledger: Ledger) -> list[tuple[int, str, str]]:
    return [(m.incident_id, m.channel, m.body["action"]) for m in all_messages(ledger)]


def test_a_failure_is_one_incident_and_one_message_per_channel(
    ledger: Ledger, make_event: MakeEvent
) -> None:
    recorded = record(ledger, make_event(), "k1")
    assert (recorded.is_known, recorded.occurrences) == (False, 1)
    (incident,) = all_incidents(ledger)
    assert (incident.status, incident.kind, incident.owner) == ("open", "failure", "risk-team")
    assert told(ledger) == [(incident.id, "jira", "opened"), (incident.id, "slack", "opened")]


def test_the_same_report_again_changes_nothing(ledger: Ledger, make_event: MakeEvent) -> None:
    first = record(ledger, make_event(), "k1")
    again = record(ledger, make_event(headline="Other words for it."), "k1")
    assert again.is_known
    assert again.incident_id == first.incident_id
    assert len(all_incidents(ledger)) == 1
    assert len(all_messages(ledger)) == 2
    assert is_recorded(ledger, "k1")
    assert not is_recorded(ledger, "k2")


def test_the_same_cause_again_is_counted_and_told_at_most_once_an_hour(
    ledger: Ledger, make_event: MakeEvent
) -> None:
    record(ledger, make_event(headline="35 rows break it."), "night 1")
    assert record(ledger, make_event(headline="36 rows break it."), "night 2").occurrences == 2
    assert len(told(ledger)) == 2
    with ledger.begin() as connection:
        connection.execute(
            outbox.update().values(created_at=datetime.now(UTC) - timedelta(hours=2))
        )
    assert record(ledger, make_event(headline="37 rows break it."), "night 3").occurrences == 3
    assert told(ledger)[2:] == [(1, "jira", "repeated"), (1, "slack", "repeated")]
    assert [i.occurrences for i in all_incidents(ledger)] == [3]


def test_another_cause_is_another_incident(ledger: Ledger, make_event: MakeEvent) -> None:
    record(ledger, make_event(), "k1")
    record(ledger, make_event(headline="The disk is full."), "k2")
    assert len(all_incidents(ledger)) == 2


def test_a_release_ends_all_trouble_of_its_pipeline_and_says_so_in_each_thread(
    ledger: Ledger, make_event: MakeEvent
) -> None:
    record(ledger, make_event(kind="rejection", stage="evaluate", headline="Worse."), "k1")
    record(ledger, make_event(), "k2")
    record(ledger, make_event(pipeline="other"), "k3")
    release = make_event(kind="release", stage="deploy", headline="Version 3 is in service.")
    assert record(ledger, release, "k4").recovered == 2
    statuses = {i.id: i.status for i in all_incidents(ledger)}
    assert statuses == {1: "recovered", 2: "recovered", 3: "open", 4: "noted"}
    threads = [t for t in told(ledger) if t[2] == "recovered"]
    assert threads == [(n, c, "recovered") for n in (1, 2) for c in ("jira", "slack")]


def test_the_same_cause_after_recovery_is_a_new_incident(
    ledger: Ledger, make_event: MakeEvent
) -> None:
    record(ledger, make_event(), "k1")
    record(ledger, make_event(kind="release", headline="Version 3."), "k2")
    assert record(ledger, make_event(), "k3").occurrences == 1
    assert [i.status for i in all_incidents(ledger)] == ["recovered", "noted", "open"]


@pytest.mark.parametrize(
    ("kind", "over"),
    [
        ("unchanged", {"prepare", "evaluate"}),  # a rejected candidate is gone as well
        ("rejection", {"prepare"}),
        ("dry_run", {"prepare"}),
        ("failure", set()),
    ],
)
def test_a_run_that_came_to_a_verdict_ends_what_stopped_it_before(
    ledger: Ledger, make_event: MakeEvent, kind: str, over: set[str]
) -> None:
    record(ledger, make_event(stage="evaluate", kind="rejection", headline="Worse."), "k1")
    record(ledger, make_event(stage="prepare"), "k2")
    record(ledger, make_event(stage="deploy"), "k3")
    record(ledger, make_event(stage="package", kind=kind, headline="And now this."), "k4")
    ended = {i.stage for i in all_incidents(ledger) if i.status == "recovered"}
    assert ended == over


def test_a_night_without_change_makes_no_ticket(ledger: Ledger, make_event: MakeEvent) -> None:
    record(ledger, make_event(kind="unchanged", headline="Nothing changed."), "k1")
    assert told(ledger) == [(1, "slack", "opened")]


def test_a_failure_says_what_users_feel(ledger: Ledger, make_event: MakeEvent) -> None:
    record(ledger, make_event(), "k1")
    release = ledger.add_release(
        pipeline="credit_risk", version=12, bundle="b", candidate="c", run_id="r",
        target="process", status="deploying", address=None, reason="",
    )  # fmt: skip
    ledger.set_serving(release, "http://x")
    record(ledger, make_event(headline="Other."), "k2")
    impacts = [Message.model_validate(m.body).event.impact for m in all_messages(ledger)]
    assert impacts[0] == "No version of this model answers yet."
    assert impacts[2] == "Version 12 still answers; nothing was released."


def test_a_failure_after_the_release_does_not_deny_it(
    ledger: Ledger, make_event: MakeEvent
) -> None:
    release = ledger.add_release(
        pipeline="credit_risk", version=12, bundle="b", candidate="c", run_id="night 1",
        target="process", status="deploying", address=None, reason="",
    )  # fmt: skip
    ledger.set_serving(release, "http://x")
    record(ledger, make_event(run_id="night 1", stage="announce"), "k1")
    event = Message.model_validate(all_messages(ledger)[0].body).event
    assert event.impact == "Version 12 answers: this run released it before it failed."


def test_what_has_no_model_says_nothing_of_one(ledger: Ledger, make_event: MakeEvent) -> None:
    record(ledger, make_event(pipeline="lastmile_deliver", stage="deliver"), "k1")
    assert Message.model_validate(all_messages(ledger)[0].body).event.impact == ""


def test_names_that_airflow_allows_and_the_ledger_does_not_are_cut(
    ledger_url: str, make_event: MakeEvent
) -> None:
    ledger = Ledger(ledger_url)
    long = "x" * 250
    event = make_event(pipeline=long, stage=long, run_id="r" * 900 + "\x00", owner=long * 2)
    assert record(ledger, event, "k1").occurrences == 1
    assert record(ledger, event, "k2").occurrences == 2


def test_no_secret_and_no_control_character_reaches_the_ledger(
    ledger: Ledger, make_event: MakeEvent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LASTMILE_CONNECTION_LOANS", "postgresql://u:kn0wn-s3cret@db/x")
    event = make_event(
        headline="No login as kn0wn-s3cret\x00 \x1b[31m",
        hint="Try password=pl4nted-s3cret",
        facts={"DSN": "mysql://u:pl4nted-s3cret@h/d"},
        links={"Log": "http://127.0.0.1/log?token=pl4nted-s3cret"},
    )
    record(ledger, event, "k1")
    record(ledger, event, "k" * 500 + "\x00")
    with ledger.read() as connection:
        everything = repr(
            [connection.execute(sa.select(t)).all() for t in (incidents, sightings, outbox)]
        )
    assert "s3cret" not in everything
    assert "\\x00" not in everything
    assert "\\x1b" not in everything
    assert is_recorded(ledger, "k" * 500 + "\x00")
    assert not is_recorded(ledger, "k" * 501)


def test_all_is_written_or_nothing(ledger: Ledger, make_event: MakeEvent) -> None:
    with ledger.begin() as connection:
        connection.exec_driver_sql(
            "create trigger full before insert on outbox when new.channel = 'slack' "
            "begin select raise(abort, 'disk full'); end"
        )
    with pytest.raises(Exception, match=r"disk full|met another"):
        record(ledger, make_event(), "k1")
    assert all_incidents(ledger) == []
    assert all_messages(ledger) == []
    assert not is_recorded(ledger, "k1")


REPORT = """
import sys
from lastmile.ledger.ledger import Ledger
from lastmile.team.events import Event
from lastmile.team.record import record
ledger, who = Ledger(sys.argv[1]), sys.argv[2]
for n in range(10):
    for key in (f"shared {n}", f"{who} {n}"):
        record(ledger, Event(kind="failure", pipeline="p", run_id="r", stage=f"s{n % 2}",
               error_class="E", headline=f"Broken {n}.", owner="o"), key)
"""


def test_four_processes_report_at_once_and_each_cause_is_one_incident(
    ledger_url: str,
) -> None:
    processes = [
        subprocess.Popen([sys.executable, "-c", REPORT, ledger_url, str(n)], stderr=subprocess.PIPE)
        for n in range(4)
    ]
    errors = [process.communicate()[1].decode() for process in processes]
    assert [p.returncode for p in processes] == [0] * 4, errors
    ledger = Ledger(ledger_url)
    # 10 shared keys count once each, 10 keys of each process once each; two causes.
    assert sorted(i.occurrences for i in all_incidents(ledger)) == [25, 25]
    assert len(all_messages(ledger)) == 4


# In a callback


def test_a_callback_writes_to_the_ledger(
    settings: Settings, ledger: Ledger, make_event: MakeEvent
) -> None:
    recorded = record_safely(settings, make_event(), "k1")
    assert recorded is not None
    assert is_recorded(ledger, "k1")


def test_a_locked_ledger_keeps_no_callback_and_loses_no_event(
    settings: Settings, ledger: Ledger, make_event: MakeEvent
) -> None:
    record(ledger, make_event(), "k0")
    with ledger.begin() as connection:
        connection.execute(leases.delete())
        started = time.perf_counter()
        assert record_safely(settings, make_event(hint="password=s3cret-one"), "k1") is None
        assert record_safely(settings, make_event(hint="password=s3cret-one"), "k1") is None
        assert time.perf_counter() - started < 1
    files = list((settings.home_path / "spool").iterdir())
    assert len(files) == 1
    assert "s3cret" not in files[0].read_text()
    assert sweep_spool(settings.home_path, ledger) == 1
    assert is_recorded(ledger, "k1")
    assert sweep_spool(settings.home_path, ledger) == 0


def test_a_ledger_that_is_no_database_or_cannot_be_named_loses_no_event(
    settings: Settings, make_event: MakeEvent, ledger: Ledger
) -> None:
    broken = settings.home_path / "broken.db"
    broken.parent.mkdir(parents=True, exist_ok=True)
    broken.write_bytes(b"no database" * 1000)
    for number, url in enumerate((f"sqlite:///{broken}", "no url", "postgresql://127.0.0.1:1/x")):
        other = Settings(root=settings.root, home=settings.home, ledger_url=url)
        assert record_safely(other, make_event(), f"k{number}") is None
    assert sweep_spool(settings.home_path, ledger) == 3


@pytest.mark.skipif(os.geteuid() == 0 and not Path("/proc").exists(), reason="needs /proc")
def test_a_callback_does_not_raise_even_where_nothing_can_be_written(
    make_event: MakeEvent, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings(root=Path("/proc"), home=Path("no/such"))
    with caplog.at_level(logging.ERROR):
        assert record_safely(settings, make_event(headline="password=s3cret-one"), "k1") is None
    assert "An event is lost, k1" in caplog.text
    assert "s3cret" not in caplog.text


def test_a_spooled_file_that_holds_no_event_is_set_aside_and_the_rest_goes_on(
    settings: Settings, ledger: Ledger, make_event: MakeEvent, caplog: pytest.LogCaptureFixture
) -> None:
    folder = settings.home_path / "spool"
    folder.mkdir(parents=True)
    (folder / "a.json").write_text('{"key": "cut o')
    with ledger.begin():
        record_safely(settings, make_event(), "k1")
    assert sweep_spool(settings.home_path, ledger) == 1
    assert (folder / "a.unreadable").exists()
    assert "nobody was told" in caplog.text


# What a failed stage comes to


def test_our_own_error_speaks_for_itself(make_pipeline: Callable[..., Pipeline]) -> None:
    pipeline = make_pipeline(team={"tracker": "RISK", "channel": "risk"})
    event = stage_failure(pipeline, "r1", "prepare", DataError("No rows.", "Add some."))
    assert (event.headline, event.hint, event.error_class) == ("No rows.", "Add some.", "DataError")
    assert (event.owner, event.tracker, event.channel) == ("test-team", "RISK", "risk")


def test_what_nobody_foresaw_is_named_by_its_type(make_pipeline: Callable[..., Pipeline]) -> None:
    event = stage_failure(make_pipeline(), "r1", "train", KeyError("x\ntrace"))
    assert event.headline.startswith("KeyError: ")
    assert "bug" in event.hint
    silent = stage_failure(make_pipeline(), "r1", "train", None, {"Log": "http://x"})
    assert silent.headline == "The stage train ended without a word."
    assert silent.links == {"Log": "http://x"}
