"""`lastmile run`: raw data to a served model, and what happens when it must not be served."""

import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from lastmile.errors import ExitCode
from project import Project

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def post(address: str, path: str, body: Any) -> Any:
    request = urllib.request.Request(
        address + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def test_a_run_releases_a_model_that_answers_and_the_next_run_changes_nothing(
    flower_project: Project,
) -> None:
    first = flower_project.ask("run", "flowers", "--run-id", "monday", "--reason", "first light")
    assert [stage["stage"] for stage in first["stages"]] == [
        "prepare", "train", "evaluate", "package", "deploy",
    ]  # fmt: skip
    assert first["verdict"]["decision"] == "PROMOTE"
    [release] = flower_project.ask("releases", "flowers")["releases"]
    assert (release["version"], release["status"]) == (1, "serving")

    answer = post(
        release["address"],
        "/predict",
        {"instances": [{"petal_length": 6.3, "petal_width": 2.2, "colour": "BLUE "}]},
    )
    assert answer["version"] == 1
    assert answer["predictions"][0]["label"] == "1"
    assert answer["predictions"][0]["probability"] > 0.8

    passport = flower_project.ask("explain", "flowers")
    assert passport["run_id"] == "monday"
    assert passport["reason"] == "first light"

    second = flower_project.ask("run", "flowers", "--run-id", "tuesday")
    # It is judged anew: on Monday there was no champion to compare with.
    assert [stage["reused_from"] for stage in second["stages"][:3]] == ["monday", "monday", None]
    assert second["event"]["kind"] == "unchanged"
    assert len(flower_project.ask("releases", "flowers")["releases"]) == 1


def test_a_rejected_candidate_leaves_the_champion_in_service(
    flower_project: Project, flowers: dict[str, Any]
) -> None:
    flower_project.ask("run", "flowers", "--run-id", "good")
    flowers["gate"] = {"at_least": {"roc_auc": 0.9999}, "min_rows": 20}
    flowers["train"]["epochs"] = 1
    flower_project.add("flowers", flowers)
    outcome = flower_project.ask("run", "flowers", "--run-id", "bad", expect=ExitCode.REJECTED)
    assert outcome["verdict"]["decision"] == "REJECT"
    assert [stage["stage"] for stage in outcome["stages"]] == ["prepare", "train", "evaluate"]
    [release] = flower_project.ask("releases", "flowers")["releases"]
    assert release["run_id"] == "good"
    assert release["status"] == "serving"
    kinds = {one["incident"]["kind"] for one in flower_project.ask("incidents")["open"]}
    assert "rejection" in kinds


def test_a_dry_run_judges_and_releases_nothing(flower_project: Project) -> None:
    outcome = flower_project.ask("run", "flowers", "--dry-run")
    assert outcome["verdict"]["decision"] == "PROMOTE"
    assert flower_project.ask("releases", "flowers")["releases"] == []


def test_wrong_data_ends_with_2_and_leaves_everything_as_it_was(flower_project: Project) -> None:
    flower_project.ask("run", "flowers", "--run-id", "good")
    (flower_project.root / "flowers.csv").write_text("flower_id,petal_length\n")
    answer = flower_project.ask("run", "flowers", "--run-id", "bad", expect=ExitCode.WRONG_INPUT)
    assert "flowers.csv" in answer["error"]["headline"]
    assert answer["error"]["hint"]
    [release] = flower_project.ask("releases", "flowers")["releases"]
    assert release["status"] == "serving"
    row = {"petal_length": 6.3, "petal_width": None, "colour": "white"}
    assert post(release["address"], "/predict", {"instances": [row]})["version"] == 1
    [failure] = flower_project.ask("incidents")["open"]
    assert failure["incident"]["kind"] == "failure"
    assert "flowers.csv" in failure["incident"]["headline"]


TASKS = {
    "multiclass": ("load_wine", {"model": {"units": [16]}, "batch_size": 16, "epochs": 30},
                   {"at_least": {"accuracy": 0.85}, "min_rows": 15}),
    "regression": ("load_diabetes", {"model": {"units": [16]}, "batch_size": 16, "epochs": 30},
                   {"at_most": {"rmse": 65}, "min_rows": 15}),
}  # fmt: skip


@pytest.mark.parametrize("task", TASKS)
def test_classes_and_numbers_are_learnt_as_well(project: Project, task: str) -> None:
    import sklearn.datasets

    loader, train, gate = TASKS[task]
    frame = getattr(sklearn.datasets, loader)(as_frame=True).frame
    frame.columns = [str(name).replace("/", "_").replace(" ", "_") for name in frame.columns]
    frame.insert(0, "row_id", [f"r{number}" for number in range(len(frame))])
    frame.to_csv(project.root / "rows.csv", index=False)
    project.add(
        task,
        {
            "task": task,
            "data": {
                "sources": [{"name": "rows", "csv": {"path": "rows.csv"}}],
                "key": "row_id",
                "label": {"column": "target"},
            },
            "train": train,
            "gate": gate,
        },
    )
    outcome = project.ask("run", task)
    assert outcome["verdict"]["decision"] == "PROMOTE", outcome["verdict"]["checks"]
    records = project.root / "ask.json"
    row = frame.drop(columns=["row_id", "target"]).iloc[0].to_dict()
    records.write_text(json.dumps([row]))
    [answer] = project.ask("predict", task, "--input", str(records))["predictions"]
    expected = {"multiclass": {"label", "probabilities"}, "regression": {"value"}}[task]
    assert set(answer) == expected


def test_one_worker_and_two_give_models_that_answer_alike(
    flower_project: Project, tmp_path: Path
) -> None:
    one = flower_project.ask("run", "flowers", "--run-id", "one", "--dry-run")
    two = flower_project.ask(
        "run", "flowers", "--run-id", "two", "--dry-run", "--workers", "2", "--force"
    )
    values = [
        {metric["name"]: metric["value"] for metric in run["verdict"]["metrics"]}
        for run in (one, two)
    ]
    assert values[0] == pytest.approx(values[1], abs=1e-4)
