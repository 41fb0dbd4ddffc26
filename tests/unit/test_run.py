"""Stages are done once, taken over when nothing changed, and leave nothing half done."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest

from lastmile import run
from lastmile.errors import BusyError, DataError, ExitCode, PermanentError
from lastmile.run import Context, Produced, RunOptions, StageName, execute, safe_name

MakeContext = Callable[..., Context]


class ToyStage:
    """Writes what it was told to; counts how often it did."""

    code: ClassVar[tuple[str, ...]] = ("errors",)
    libraries: ClassVar[tuple[str, ...]] = ("numpy",)
    reusable: ClassVar[bool] = True

    def __init__(self) -> None:
        self.times = 0
        self.reads: Any = {"data": "v1"}
        self.content = "made"
        self.error: Exception | None = None
        self.exit_code = ExitCode.DONE

    def inputs(self, context: Context, scratch: Path) -> Any:
        (scratch / "note").write_text("left for execute")
        return self.reads

    def execute(self, context: Context, inputs: Path, out: Path) -> Produced:
        self.times += 1
        if self.error:
            raise self.error
        (out / "result.txt").write_text(self.content + (inputs / "note").read_text()[:0])
        return Produced(summary={"size": len(self.content)}, exit_code=self.exit_code, rows=3)


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> ToyStage:
    stage = ToyStage()
    monkeypatch.setattr(run, "load_stage", lambda _name: stage)
    return stage


def test_a_stage_leaves_an_artefact_a_record_and_its_timing(
    toy: ToyStage, make_context: MakeContext
) -> None:
    context = make_context()
    record = execute(StageName.PREPARE, context)
    assert (context.store.open_artefact(record.artefact) / "result.txt").read_text() == "made"
    assert context.record(StageName.PREPARE) == record
    assert record.rows == 3
    assert record.reused_from is None
    [timing] = context.ledger.stage_runs("toy")
    assert (timing.run_id, timing.stage, timing.rows, timing.reused) == (
        "run-1",
        "prepare",
        3,
        False,
    )
    assert timing.peak_memory_bytes > 10_000_000


def test_an_unchanged_stage_is_taken_over_and_says_from_where(
    toy: ToyStage, make_context: MakeContext
) -> None:
    first = execute(StageName.PREPARE, make_context(run_id="monday"))
    second = execute(StageName.PREPARE, make_context(run_id="tuesday"))
    third = execute(StageName.PREPARE, make_context(run_id="wednesday"))
    assert toy.times == 1
    assert second.reused_from == third.reused_from == "monday"
    assert second.artefact == first.artefact


def test_workers_and_reason_are_no_ground_to_do_it_again(
    toy: ToyStage, make_context: MakeContext
) -> None:
    execute(StageName.PREPARE, make_context(run_id="a", workers=1))
    execute(StageName.PREPARE, make_context(run_id="b", workers=4, reason="why not"))
    assert toy.times == 1


def test_changed_inputs_and_force_do_it_again(toy: ToyStage, make_context: MakeContext) -> None:
    execute(StageName.PREPARE, make_context(run_id="a"))
    execute(StageName.PREPARE, make_context(run_id="b", force=True))
    toy.reads = {"data": "v2"}
    execute(StageName.PREPARE, make_context(run_id="c"))
    assert toy.times == 3


def test_changed_code_does_it_again(
    toy: ToyStage, make_context: MakeContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute(StageName.PREPARE, make_context(run_id="a"))
    monkeypatch.setattr(ToyStage, "code", ("errors", "store"))
    execute(StageName.PREPARE, make_context(run_id="b"))
    assert toy.times == 2


def test_an_altered_result_is_not_taken_over(toy: ToyStage, make_context: MakeContext) -> None:
    context = make_context(run_id="a")
    record = execute(StageName.PREPARE, context)
    (context.store.open_artefact(record.artefact) / "result.txt").write_text("forged")
    again = execute(StageName.PREPARE, make_context(run_id="b"))
    assert toy.times == 2
    assert again.reused_from is None
    assert (context.store.open_artefact(again.artefact) / "result.txt").read_text() == "made"


def test_a_rejection_is_taken_over_as_a_rejection(toy: ToyStage, make_context: MakeContext) -> None:
    toy.exit_code = ExitCode.REJECTED
    execute(StageName.EVALUATE, make_context(run_id="a"))
    assert execute(StageName.EVALUATE, make_context(run_id="b")).exit_code is ExitCode.REJECTED


def test_a_failing_stage_leaves_nothing_but_its_timing(
    toy: ToyStage, make_context: MakeContext
) -> None:
    context = make_context()
    toy.error = DataError("The file is empty.", "Fill it.")
    with pytest.raises(DataError, match="empty"):
        execute(StageName.PREPARE, context)
    with pytest.raises(PermanentError, match="no result of stage prepare"):
        context.record(StageName.PREPARE)
    [timing] = context.ledger.stage_runs("toy")
    assert timing.exit_code == ExitCode.WRONG_INPUT
    assert list((context.settings.home_path / "scratch").iterdir()) == []


def test_the_same_work_twice_at_once_is_refused(toy: ToyStage, make_context: MakeContext) -> None:
    context = make_context()
    key = run._reuse_key(toy, context, Path(context.settings.root))
    with (
        context.ledger.lease(f"work:toy:prepare:{key[:16]}", "prepare of toy"),
        pytest.raises(BusyError, match="prepare of toy is busy"),
    ):
        execute(StageName.PREPARE, context)
    execute(StageName.PREPARE, context)


def test_what_a_killed_stage_left_behind_is_cleared_away(
    toy: ToyStage, make_context: MakeContext
) -> None:
    context = make_context()
    left = context.settings.home_path / "scratch" / "train-999999999-x"
    left.mkdir(parents=True)
    execute(StageName.PREPARE, context)
    assert not left.exists()


@pytest.mark.parametrize(
    "run_id",
    ["manual__2026-11-24T04:09:36.091460+00:00", "../../etc/passwd", "a" * 300, "käse", ""],
)
def test_any_run_id_makes_a_safe_name_of_its_own(run_id: str) -> None:
    name = safe_name(run_id)
    assert "/" not in name
    assert name.strip(".")
    assert len(name) < 100
    assert safe_name(run_id + "x") != name


def test_options_of_the_form_and_of_the_command_are_one_model() -> None:
    assert RunOptions.model_validate({"workers": 2, "force": True}) == RunOptions(
        workers=2, force=True
    )
