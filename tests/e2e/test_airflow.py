"""The pipelines through a real Airflow: whoever starts a run, the same stages give the same result."""

import json
import os
import signal
import urllib.request
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from lastmile.run import StageName
from lastmile.team.listing import list_incidents
from project import wait_until

if TYPE_CHECKING:
    from conftest import EmbeddedAirflow

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

PREPARE, TRAIN = "prepare.prepare_dataset", "train.train_model"
PACKAGE, RELEASE = "package.package_release", "deploy.release_model"
ALL = (PREPARE, TRAIN, "evaluate.judge_candidate", "evaluate.is_approved", PACKAGE, RELEASE,
       "announce_outcome")  # fmt: skip


def passport(airflow: "EmbeddedAirflow", pipeline: str) -> dict[str, Any]:
    return dict(airflow.project.ask("explain", pipeline))


def headlines(airflow: "EmbeddedAirflow", pipeline: str) -> list[tuple[str, int]]:
    """Open incidents of a pipeline: headline and how often."""
    return [
        (one.incident.headline, one.incident.occurrences)
        for one in list_incidents(airflow.ledger).open
        if one.incident.pipeline == pipeline
    ]


def tickets(airflow: "EmbeddedAirflow", pipeline: str) -> list[str]:
    """Titles of a pipeline's tickets."""
    titles = [str(ticket.fields["summary"]) for ticket in airflow.jira.tickets]
    return [title for title in titles if pipeline in title]


def test_a_run_over_rest_gives_what_the_command_line_gives(airflow: "EmbeddedAirflow") -> None:
    run_id, states = airflow.run("flowers", workers=1, reason="spring")
    assert states == {"": "success", **dict.fromkeys(ALL, "success")}
    by_hand = airflow.project.ask("run", "flowers", "--run-id", "by-hand", "--force", "--dry-run")
    for stage in by_hand["stages"][:2]:
        theirs = airflow.record("flowers", run_id, StageName(stage["stage"]))
        assert stage["reused_from"] is None
        assert theirs.artefact.digest == stage["artefact"]["digest"], stage["stage"]
    assert by_hand["verdict"]["decision"] == "PROMOTE"

    made = passport(airflow, "flowers")
    assert (made["run_id"], made["requested_by"], made["reason"]) == (run_id, "admin", "spring")
    [release] = airflow.project.ask("releases", "flowers")["releases"]
    row = {"petal_length": 6.3, "petal_width": 2.2, "colour": "BLUE "}
    request = urllib.request.Request(
        f"{release['address']}/predict",
        json.dumps({"instances": [row]}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert json.load(answer)["version"] == 1


def test_a_release_is_told_in_jira_and_slack_and_no_token_is_left_anywhere(
    airflow: "EmbeddedAirflow",
) -> None:
    airflow.run("flowers")
    [ticket] = tickets(airflow, "flowers")
    assert "released" in ticket
    assert any("flowers was released" in str(message) for message in airflow.slack.messages)
    secrets = [airflow.jira.token.encode(), airflow.slack.token.encode()]
    for path in airflow.project.root.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert not any(secret in content for secret in secrets), path


def test_the_next_run_reuses_everything_and_releases_nothing(airflow: "EmbeddedAirflow") -> None:
    first, _ = airflow.run("flowers")
    run_id, states = airflow.run("flowers")
    assert states[""] == "success"
    assert states[RELEASE] == "skipped"
    for stage in (StageName.PREPARE, StageName.TRAIN, StageName.EVALUATE, StageName.PACKAGE):
        assert airflow.record("flowers", run_id, stage).reused_from, stage
    assert len(airflow.project.ask("releases", "flowers")["releases"]) == 1
    assert first != run_id


def test_a_dry_run_judges_and_releases_nothing(airflow: "EmbeddedAirflow") -> None:
    run_id, states = airflow.run("flowers", dry_run=True)
    assert states[""] == "success"
    assert states[PACKAGE] == states[RELEASE] == "skipped"
    told = airflow.rest.xcom("flowers", run_id, "evaluate.is_approved", "verdict")
    assert told["decision"] == "PROMOTE"


def test_a_rejected_model_is_no_failed_run(airflow: "EmbeddedAirflow") -> None:
    run_id, states = airflow.run("picky")
    assert states[""] == "success"
    assert states[PACKAGE] == states[RELEASE] == "skipped"
    assert states["announce_outcome"] == "success"
    told = airflow.rest.xcom("picky", run_id, "evaluate.is_approved", "verdict")
    assert told["decision"] == "REJECT"
    assert "roc_auc" in told["summary"]
    assert airflow.project.ask("releases", "picky")["releases"] == []


def test_wrong_input_fails_at_once_is_told_once_and_stops_what_follows(
    airflow: "EmbeddedAirflow",
) -> None:
    run_id, states = airflow.run("lost")
    assert states[""] == "failed"
    assert states[PREPARE] == "failed"
    assert {states[task] for task in ALL[1:-1]} == {"upstream_failed"}
    tasks = airflow.rest.tasks("lost", run_id)
    assert tasks[PREPARE]["try_number"] == 1, "wrong input is not tried again"
    lines = [line["event"] for line in airflow.rest.log("lost", run_id, PREPARE, 1)]
    assert any("lost.csv: there is no such file" in line for line in lines)
    assert any(line.startswith("What to do: ") for line in lines)
    [(headline, times)] = wait_until(lambda: headlines(airflow, "lost"), "the incident")
    assert "lost.csv" in headline
    assert times == 1
    [ticket] = tickets(airflow, "lost")
    assert "lost.csv" in ticket
    airflow.run("lost")
    assert tickets(airflow, "lost") == [ticket], "the same cause, the same ticket"
    threads = [m for m in airflow.slack.messages if "lost.csv" in str(m) and not m["thread_ts"]]
    assert len(threads) == 1


def test_a_broken_pipeline_file_fails_its_own_run_and_no_other(airflow: "EmbeddedAirflow") -> None:
    run_id, states = airflow.run("wilted")
    assert states == {"": "failed", "show_faults": "failed"}
    lines = [line["event"] for line in airflow.rest.log("wilted", run_id, "show_faults", 1)]
    assert any("wilted.yaml:3:1: task is 'binry'" in line for line in lines)


def test_a_stage_that_is_killed_is_tried_again_and_goes_on(airflow: "EmbeddedAirflow") -> None:
    run_id = airflow.rest.trigger("fragile", {"dry_run": True})
    stage = wait_until(lambda: stage_process("train", run_id), "training under way", 60)
    checkpoints = airflow.project.home / "store" / "checkpoints"
    wait_until(lambda: any(checkpoints.rglob("*")), "a checkpoint or the end of training", 30)
    os.kill(stage.pid, signal.SIGKILL)
    states = airflow.finish("fragile", run_id)
    assert states[""] == "success"
    tasks = airflow.rest.tasks("fragile", run_id)
    assert tasks[TRAIN]["try_number"] == 2
    lines = [line["event"] for line in airflow.rest.log("fragile", run_id, TRAIN, 1)]
    assert any("was ended by SIGKILL" in line for line in lines)
    assert headlines(airflow, "fragile") == [], "what a retry mends is no incident"


def test_a_run_stopped_by_hand_leaves_no_process_and_releases_nothing(
    airflow: "EmbeddedAirflow",
) -> None:
    run_id = airflow.rest.trigger("fragile", {"force": True})
    stage = wait_until(lambda: stage_process("train", run_id), "training under way", 60)
    members = [stage, *stage.children(recursive=True)]
    airflow.rest.set_state("fragile", run_id, "failed")
    _, alive = psutil.wait_procs(members, timeout=40)
    assert not alive
    assert airflow.finish("fragile", run_id)[RELEASE] != "success"
    assert airflow.project.ask("releases", "fragile")["releases"] == []


def test_the_schedule_starts_runs_by_itself(airflow: "EmbeddedAirflow") -> None:
    def scheduled() -> list[dict[str, Any]]:
        runs = airflow.rest.runs("nightly")
        return [run for run in runs if run["run_type"] == "scheduled"]

    first = wait_until(scheduled, "a scheduled run", 90)[-1]
    assert airflow.finish("nightly", first["dag_run_id"])[""] == "success"
    assert passport(airflow, "nightly")["requested_by"] == "schedule"


def stage_process(stage: str, run_id: str) -> psutil.Process | None:
    """Return the process of a stage of a run."""
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if "lastmile.cli" in command and stage in command and run_id in command:
            return process
    return None
