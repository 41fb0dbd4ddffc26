"""Deploying, going back and coming back, against real servers."""

from dataclasses import replace

import pytest

from deployed import PIPELINE, Service, Traffic
from lastmile.artefacts.passport import Passport
from lastmile.artefacts.verdict import Decision
from lastmile.cli import text
from lastmile.cli.serve import bring_up, take_down
from lastmile.deploy import rollout
from lastmile.deploy.process import ProcessTarget
from lastmile.deploy.rollout import CHAMPION, assignment_of
from lastmile.deploy.server import ServerProcess
from lastmile.deploy.service import explain
from lastmile.errors import ArtefactError, BusyError, DeployError, ExitCode, PermanentError

pytestmark = pytest.mark.slow


def test_a_first_release_answers_and_is_written_down_everywhere(service: Service) -> None:
    done = service.release(1.0)
    assert done.released
    assert done.previous is None
    assert done.smoke is not None
    assert done.smoke.records == 2
    assert done.smoke.largest_difference < 1e-5
    assert service.answer() == (1, 1.0)
    assert service.champion().address == done.address
    service.check_consistent()


def test_no_request_fails_through_switches_and_a_rollback(service: Service) -> None:
    service.release(1.0)
    record = service.public.record()
    assert record is not None
    traffic = Traffic(record.port, {1: 1.0, 2: 2.0, 3: 3.0})
    with traffic.flowing():
        for bias in (2.0, 3.0):
            service.release(bias)
        service.rollback()
        service.rollback()
    assert traffic.failures == []
    assert set(traffic.versions) == {1, 2, 3}
    assert len(traffic.versions) > 300
    assert service.answer() == (1, 1.0)
    assert service.public.record() == record
    service.check_consistent()


def test_a_model_taken_back_by_hand_is_not_released_again_by_itself(service: Service) -> None:
    service.release(1.0)
    service.release(2.0)
    service.rollback()
    again, origin = service.package(2.0, run_id="next night")
    refused = service.put(again, origin)
    assert not refused.released
    assert "taken back by hand" in refused.reason
    assert service.answer() == (1, 1.0)
    assert service.put(again, origin, force=True).released
    assert service.answer() == (2, 2.0)
    service.check_consistent()


def test_the_champion_is_not_released_again(service: Service) -> None:
    service.release(1.0)
    same = service.release(1.0, run_id="next night")
    assert not same.released
    assert "Nothing has changed" in same.reason
    assert len(service.ledger.releases(PIPELINE)) == 1


def test_the_run_that_released_says_so_again_when_it_is_repeated(service: Service) -> None:
    service.release(1.0)
    candidate, origin = service.package(2.0)
    first = service.put(candidate, origin)
    again = service.put(candidate, origin)
    assert (again.released, again.release, again.previous) == (True, first.release, 1)
    assert len(service.ledger.releases(PIPELINE)) == 2


def test_a_verdict_about_another_champion_releases_nothing(service: Service) -> None:
    service.release(1.0)
    before = service.snapshot()
    candidate, origin = service.package(2.0, champion="f" * 64)
    with pytest.raises(PermanentError, match="compared with champion ffffffffffff"):
        service.put(candidate, origin)
    after = service.snapshot()
    assert after | {"store": 0} == before | {"store": 0}


def test_going_back_without_an_earlier_release_names_what_there_is(service: Service) -> None:
    with pytest.raises(PermanentError, match="has not been released yet"):
        service.rollback()
    service.release(1.0)
    with pytest.raises(PermanentError, match="No release of toy is earlier"):
        service.rollback()
    with pytest.raises(PermanentError, match="Version 7 of toy has never served") as caught:
        service.rollback(7)
    assert caught.value.hint == "Versions that have served: 1."
    with pytest.raises(PermanentError, match="serves already"):
        service.rollback(1)


def test_a_version_is_gone_back_to_by_its_number(service: Service) -> None:
    for bias in (1.0, 2.0, 3.0):
        service.release(bias)
    service.rollback(1)
    assert service.answer() == (1, 1.0)
    with pytest.raises(PermanentError, match="No release of toy is earlier"):
        service.rollback()
    service.rollback(3)
    assert service.answer() == (3, 3.0)
    service.check_consistent()


def test_wrong_golden_answers_leave_all_as_it_was(service: Service) -> None:
    service.release(1.0)
    candidate, origin = service.package(2.0, answers=({"value": 3.0}, {"value": -0.4}))
    before = service.snapshot()
    with pytest.raises(DeployError, match="Version 1 still answers") as caught:
        service.put(candidate, origin)
    assert "expected -0.4 for record 1, value, got -0.5" in caught.value.headline
    assert caught.value.exit_code == ExitCode.WRONG_INPUT
    assert service.snapshot() == before
    [failed, _] = service.ledger.releases(PIPELINE)
    assert failed.status == "failed"
    service.check_consistent()


def test_a_failed_first_release_leaves_nothing_in_service(service: Service) -> None:
    with pytest.raises(DeployError, match="smoke test expected"):
        service.release(1.0, answers=({"value": 3.0}, {"value": -0.4}))
    assert service.ledger.champion(PIPELINE) is None
    assert service.registry.version_of(PIPELINE, CHAMPION) is None
    assert service.masters() == []
    assert not service.public.pointer.exists()


def test_no_golden_predictions_are_no_release(service: Service) -> None:
    with pytest.raises(DeployError, match="no golden predictions"):
        service.release(1.0, records=(), answers=())


def test_a_bundle_altered_in_the_store_is_not_served(service: Service) -> None:
    service.release(1.0)
    candidate, origin = service.package(2.0)
    before = service.snapshot()
    stored = service.settings.home_path / "store" / "artefacts" / candidate.bundle / "model.onnx"
    stored.write_bytes(stored.read_bytes()[:-1] + b"?")
    with pytest.raises(ArtefactError, match=r"model.onnx of train@\w+ is altered") as caught:
        service.put(candidate, origin)
    assert caught.value.hint
    assert caught.value.exit_code == ExitCode.WRONG_INPUT
    assert service.snapshot() == before
    service.check_consistent()


def test_a_second_deploy_is_refused_while_one_is_under_way(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.release(1.0)
    candidate, origin = service.package(2.0)
    refused: list[BusyError] = []
    original = rollout.smoke_test

    def meanwhile(*arguments: object) -> object:
        monkeypatch.setattr(rollout, "smoke_test", original)
        for other in (lambda: service.put(candidate, origin), service.rollback, service.take_down):
            with pytest.raises(BusyError) as caught:
                other()
            refused.append(caught.value)
        return original(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(rollout, "smoke_test", meanwhile)
    assert service.put(candidate, origin).released
    assert [error.exit_code for error in refused] == [ExitCode.TRANSIENT] * 3
    assert "The service of toy is busy" in refused[0].headline
    service.check_consistent()


def test_a_crashed_server_comes_back_at_its_address_without_the_store(service: Service) -> None:
    address = service.release(1.0).address
    service.release(2.0)
    service.crash()
    store = service.settings.home_path / "store"
    store.rename(store.with_name("unreachable"))
    served = service.bring_up()
    assert (served.state, served.version, served.address) == ("ready", 2, address)
    assert service.answer() == (2, 2.0)


def test_stopped_and_started_again_it_answers_as_before(service: Service) -> None:
    service.release(1.0)
    down = service.take_down()
    assert (down.state, down.version) == ("down", 1)
    assert service.masters() == []
    assert service.bring_up().state == "ready"
    service.check_consistent()


def test_a_copy_that_was_altered_is_mended_when_it_comes_back(service: Service) -> None:
    service.release(1.0)
    service.crash()
    [copy] = (service.folder / "bundles").iterdir()
    (copy / "model.onnx").write_bytes(b"?")
    service.bring_up()
    service.check_consistent()


def test_a_deploy_brings_back_a_champion_that_does_not_run_when_the_candidate_fails(
    service: Service,
) -> None:
    service.release(1.0)
    service.crash()
    with pytest.raises(DeployError, match="Version 1 still answers"):
        service.release(2.0, answers=({"value": 3.0}, {"value": -0.4}))
    service.check_consistent()


def test_a_server_of_older_code_is_replaced_only_by_one_that_starts(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.release(1.0)
    old = service.public.record()
    assert old is not None
    service.public.write_record(old.model_copy(update={"code": "older"}))
    with monkeypatch.context() as broken:
        command = ["/bin/sh", "-c", "echo broken; exit 1"]
        broken.setattr(ServerProcess, "_command", lambda *_: command)
        service.bring_up()
    assert service.public.record() == old.model_copy(update={"code": "older"})
    assert service.answer() == (1, 1.0)
    service.bring_up()
    new = service.public.record()
    assert new is not None
    assert new.pid != old.pid
    assert new.code == old.code
    service.check_consistent()


def test_the_registry_may_be_silent_while_a_model_goes_into_service(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    candidate, origin = service.package(1.0)
    database = service.settings.home_path / "mlflow.db"
    content = database.read_bytes()
    database.write_bytes(b"no database" * 100)
    assert service.put(candidate, origin).released
    assert "MLflow could not set the alias champion" in caplog.text
    assert service.answer() == (1, 1.0)
    database.write_bytes(content)
    service.release(2.0)
    service.check_consistent()


def test_bundles_of_a_few_steps_are_kept_and_the_rest_is_cleared(service: Service) -> None:
    service.release(1.0)
    (service.folder / "bundles" / ".part-of-a-killed-copier").mkdir()
    (service.folder / "bundles" / ("e" * 64)).mkdir()
    candidate, _ = service.package(1.0)
    service.release(1.0, run_id="next night")
    assert [path.name for path in (service.folder / "bundles").iterdir()] == [candidate.bundle]


def test_two_workers_both_switch(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LASTMILE_SERVE_WORKERS", "2")
    service.release(1.0)
    service.release(2.0)
    assert {service.answer() for _ in range(20)} == {(2, 2.0)}


def test_asking_says_what_to_do_where_nothing_answers(service: Service) -> None:
    with pytest.raises(PermanentError) as never:
        service.answer()
    assert "lastmile run toy" in never.value.hint
    service.release(1.0)
    service.take_down()
    with pytest.raises(Exception, match="does not run") as down:
        service.answer()
    assert "lastmile serve toy" in down.value.hint  # type: ignore[attr-defined]


def test_only_what_was_released_is_brought_up_or_taken_down(service: Service) -> None:
    """A name is also a folder: `../toy` must lead nowhere."""
    for change in (bring_up, take_down):
        with pytest.raises(PermanentError, match=r"No model of \.\./toy has been released"):
            change(["../toy"], service.settings)
    assert bring_up([], service.settings).models == ()


def test_no_request_fails_while_the_server_itself_is_replaced(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.release(1.0)
    service.release(2.0)
    first = service.public.record()
    assert first is not None
    traffic = Traffic(first.port, {1: 1.0, 2: 2.0, 3: 3.0})
    with traffic.flowing():
        monkeypatch.setenv("LASTMILE_SERVE_WORKERS", "2")
        service.rollback()
        second = service.public.record()
        assert second is not None
        service.public.write_record(second.model_copy(update={"code": "older"}))
        service.release(3.0)
    third = service.public.record()
    assert third is not None
    assert len({first.pid, second.pid, third.pid}) == 3
    assert {record.port for record in (first, second, third)} == {first.port}
    assert third.workers == 2
    assert traffic.failures == []
    assert set(traffic.versions) == {1, 2, 3}
    service.check_consistent()


def test_a_server_that_is_well_is_brought_up_with_the_settings_it_has(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as deploying:
        deploying.setenv("LASTMILE_SERVE_WORKERS", "2")
        deploying.setenv("LASTMILE_SERVE_MAX_ROWS", "7")
        service.release(1.0)
    before = service.public.record()
    service.bring_up()
    assert service.public.record() == before
    assert before is not None
    service.public.write_record(before.model_copy(update={"code": "older"}))
    service.bring_up()
    after = service.public.record()
    assert after is not None
    assert after.pid != before.pid
    assert (after.workers, after.limits) == (2, {"LASTMILE_SERVE_MAX_ROWS": "7"})
    service.take_down()
    service.bring_up()
    assert (anew := service.public.record()) is not None
    assert (anew.workers, anew.limits) == (1, {})


def test_a_successor_that_does_not_start_leaves_the_server_its_port(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.release(1.0)
    old = service.public.record()
    assert old is not None
    monkeypatch.setattr(ServerProcess, "listens", lambda *_: False)
    patience = replace(service.patience, start=2.0)
    target = ProcessTarget(PIPELINE, service.settings, service.store, patience)
    process = service.public.process()
    assert process is not None
    assert not target._succeed(process, old, old, assignment_of(service.champion()))
    assert service.public.record() == old
    assert service.answer() == (1, 1.0)
    service.check_consistent()


def test_who_went_back_or_forward_and_why_stands_with_the_release(service: Service) -> None:
    passport = Passport(
        pipeline=PIPELINE, version=1, bundle="0" * 64, files={}, dataset="0" * 64, verdict="0" * 64,
        decision=Decision.PROMOTE, metrics=(), sources=(), rows={}, definition={}, code="0" * 64,
        commit=None, libraries={}, run_id="run 1.0", requested_by="ann", reason="", created_at="then",
    )  # fmt: skip
    paper = passport.model_dump_json().encode()
    service.release(1.0, requested_by="ann", reason="a try", passport=paper)
    service.release(2.0, requested_by="ann")
    back = service.rollback(requested_by="bob", reason="wrong for the old")
    assert back.reason.startswith("Went back to version 1 from version 2; it answers at http")
    forward = service.rollback(to_version=2, requested_by="bob")
    assert forward.reason.startswith("Went forward to version 2 from version 1;")
    assert [release.reason for release in service.ledger.releases(PIPELINE)] == [
        "by bob: went forward from version 1",
        "by bob: went back from version 2: wrong for the old",
        "by ann",
        "by ann: a try",
    ]
    shown = text.passport(explain(PIPELINE, service.store, service.ledger, version=1))
    assert "by bob: went back from version 2: wrong for the old; no longer" in shown
    assert "requested by ann" in shown
