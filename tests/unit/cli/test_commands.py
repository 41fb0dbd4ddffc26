"""The command line's contract: results on stdout, everything else on stderr, documented exit codes."""

import json
from pathlib import Path
from typing import Any

import pytest

from lastmile.errors import ExitCode
from lastmile.pipeline.schema import pipeline_schema
from project import Project

COMMANDS = (
    "check", "run", "prepare", "train", "evaluate", "package", "deploy", "announce", "predict",
    "serve", "releases", "explain", "rollback", "incidents", "doctor", "schema",
)  # fmt: skip


def test_help_lists_every_command_and_the_exit_codes(project: Project) -> None:
    shown = project.run("--help").stdout
    for command in COMMANDS:
        assert f"  {command} " in shown
    assert "75 a transient fault" in " ".join(shown.split())
    assert "..." not in shown.replace("[ARGS]...", "")  # no sentence is cut short


@pytest.mark.parametrize("arguments", [("nonsense",), ("prepare", "flowers"), ("run",)])
def test_a_wrong_command_ends_with_2_and_shows_how(project: Project, arguments: Any) -> None:
    done = project.run(*arguments)
    assert done.returncode == ExitCode.WRONG_INPUT
    assert "Usage:" in done.stderr
    assert done.stdout == ""


def test_check_shows_every_fault_of_every_file(flower_project: Project, flowers: Any) -> None:
    assert flower_project.run("check").returncode == 0
    flowers["task"] = "binry"
    flower_project.add("wilted", flowers)
    done = flower_project.run("check")
    assert done.returncode == ExitCode.WRONG_INPUT
    assert "wilted.yaml:3:1: task is 'binry'" in done.stdout
    assert "hint: Did you mean 'binary'?" in done.stdout
    answer = flower_project.ask("check", expect=ExitCode.WRONG_INPUT)
    assert [problem["line"] for problem in answer["problems"]] == [3]


def test_a_wrong_command_is_one_json_document_where_json_is_asked_for(project: Project) -> None:
    for arguments, headline in (
        (("check", "--nope"), "No such option: --nope"),
        (("run",), "Missing argument 'PIPELINE'."),
        (("nonsense",), "No such command 'nonsense'."),
    ):
        done = project.run(*arguments, "--json")
        assert done.returncode == ExitCode.WRONG_INPUT
        error = json.loads(done.stdout)["error"]
        assert error["type"] == "UsageError"
        assert error["headline"].startswith(headline)
        assert error["hint"].endswith("--help`.")
        assert "Usage:" in done.stderr


@pytest.mark.parametrize("command", ["check", "serve"])
def test_help_names_pipelines_once(project: Project, command: str) -> None:
    assert f" {command} [OPTIONS] [PIPELINE]...\n" in project.run(command, "--help").stdout


def test_check_shows_the_faults_of_all_files_whatever_one_of_them_is(
    flower_project: Project, flowers: Any
) -> None:
    flowers["task"] = "binry"
    flower_project.add("wilted", flowers)
    pipelines = flower_project.root / "include" / "pipelines"
    (pipelines / "latin.yaml").write_bytes(b"name: \xe9\n")
    (pipelines / "nested.yaml").write_text("a: " + "[" * 100_000, encoding="utf-8")
    (pipelines / "octal.yaml").write_text("train: {seed: !!int x}\n", encoding="utf-8")
    (pipelines / "folder.yaml").mkdir()
    names = ("folder", "latin", "nested", "octal", "wilted")
    answer = flower_project.ask("check", expect=ExitCode.WRONG_INPUT)
    found = {Path(p["file"]).stem: (p["line"], p["column"]) for p in reversed(answer["problems"])}
    assert found == dict(zip(names, [(1, 1), (1, 7), (1, 35), (1, 1), (3, 1)], strict=True))

    answer = flower_project.ask("check", "wilted", "nosuch", "x.yaml", expect=ExitCode.WRONG_INPUT)
    assert [Path(p["file"]).name for p in answer["problems"]] == [
        "wilted.yaml", "nosuch.yaml", "x.yaml",
    ]  # fmt: skip


def test_check_of_one_pipeline_looks_at_that_one(flower_project: Project, flowers: Any) -> None:
    flowers["task"] = "binry"
    flower_project.add("wilted", flowers)
    assert flower_project.run("check", "flowers").returncode == 0


def test_an_error_is_a_headline_and_a_hint_and_one_json_document(project: Project) -> None:
    done = project.run("prepare", "nothing", "--run-id", "r", "--json")
    assert done.returncode == ExitCode.WRONG_INPUT
    error = json.loads(done.stdout)["error"]
    assert error["type"] == "PipelineFileError"
    assert "'nothing'" in error["headline"]
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr


def test_a_stage_without_the_one_before_says_what_to_do_first(flower_project: Project) -> None:
    answer = flower_project.ask("evaluate", "flowers", "--run-id", "r", expect=ExitCode.WRONG_INPUT)
    assert "lastmile train flowers --run-id 'r'" in answer["error"]["hint"]


def test_doctor_finds_this_machine_well_and_names_what_is_not(
    flower_project: Project, tmp_path: Path
) -> None:
    findings = {f["subject"]: f for f in flower_project.ask("doctor")["findings"]}
    assert findings["ledger"]["is_well"]
    assert findings["training"]["finding"].startswith("tensorflow")
    flower_project.environment["LASTMILE_STORE_URL"] = "nosuch://bucket"
    done = flower_project.run("doctor")
    assert done.returncode == ExitCode.WRONG_INPUT
    assert "Next: Set LASTMILE_STORE_URL" in done.stdout


def test_a_ledgers_password_is_never_shown(flower_project: Project) -> None:
    url = "postgresql+psycopg://me:hunter2@127.0.0.1:1/ledger"
    flower_project.environment["LASTMILE_LEDGER_URL"] = url
    done = flower_project.run("doctor")
    assert done.returncode == ExitCode.WRONG_INPUT
    assert "hunter2" not in done.stdout + done.stderr


def test_the_schema_is_the_one_in_the_repository(project: Project) -> None:
    assert project.run("schema").stdout == pipeline_schema()
    committed = Path(__file__).parents[3] / "include" / "pipelines" / "schema.json"
    assert committed.read_text() == pipeline_schema()


def test_the_schema_accepts_the_examples() -> None:
    schema = json.loads(pipeline_schema())
    assert set(schema["required"]) == {"name", "owner", "task", "data"}
    assert schema["properties"]["owner"]["description"]
