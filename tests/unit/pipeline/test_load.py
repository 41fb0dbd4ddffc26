"""Every fault of a pipeline file is shown at once, at its place, with the nearest thing that works."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from lastmile.errors import LastmileError, PipelineFileError
from lastmile.pipeline.load import InvalidPipelineError, load_pipeline, read_pipeline
from lastmile.settings import Settings
from unit.pipeline.written import MINIMAL, problems_of, write


def test_a_file_for_a_clean_csv_is_seven_lines(tmp_path: Path) -> None:
    pipeline = read_pipeline(write(tmp_path, MINIMAL))
    assert pipeline.primary_metric == "roc_auc"
    assert [step.kind for step in pipeline.data.steps] == ["contract", "label"]


def test_all_faults_are_shown_at_once_each_at_its_place(tmp_path: Path) -> None:
    text = MINIMAL.replace("binary", "binry").replace("csv: {path", "csv: {pth")
    text += "train:\n  epochs: 0\n  optimizer: {kind: adm}\ngaet: {}\n"
    found = problems_of(write(tmp_path, text))
    assert [(line, column) for line, column, _, _ in found] == [
        (3, 1), (6, 20), (6, 26), (9, 3), (10, 15), (11, 1),
    ]  # fmt: skip
    hints = [hint for _, _, _, hint in found]
    assert hints[0] == "Did you mean 'binary'?"
    assert "Did you mean 'path'?" in hints
    assert hints[-2:] == ["Did you mean 'adam'?", "Did you mean 'gate'?"]


def test_a_missing_key_is_named_where_it_belongs(tmp_path: Path) -> None:
    found = problems_of(write(tmp_path, MINIMAL.replace("  label: {column: y}\n", "")))
    assert found == [(4, 1, "data.label is missing", "Add `label:` here.")]


def test_yes_and_no_are_texts(tmp_path: Path) -> None:
    text = MINIMAL.replace("{column: y}", "{column: y, map: {Y: 1, N: 0, yes: 1, no: 0, on: 1}}")
    mapping = read_pipeline(write(tmp_path, text)).data.label.map
    assert mapping == {"Y": 1, "N": 0, "yes": 1, "no": 0, "on": 1}


def test_a_key_that_stands_twice_is_a_fault(tmp_path: Path) -> None:
    assert problems_of(write(tmp_path, MINIMAL + "owner: them\n")) == [
        (8, 1, "'owner' stands here twice", "Keep one.")
    ]


def test_broken_yaml_names_line_and_column(tmp_path: Path) -> None:
    [(line, _, message, _)] = problems_of(write(tmp_path, "name: [unclosed\nowner: us\n"))
    assert line == 2
    assert message.startswith("not YAML")


@pytest.mark.parametrize("text", ["", "just words", "- a list", "\0"])
def test_what_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    assert len(problems_of(write(tmp_path, text))) == 1


def test_the_name_must_be_the_files(tmp_path: Path) -> None:
    [(line, column, message, hint)] = problems_of(write(tmp_path, MINIMAL, name="other"))
    assert (line, column) == (1, 1)
    assert "'toy'" in message
    assert "other" in hint


def test_a_step_may_only_name_columns_that_exist(tmp_path: Path) -> None:
    text = MINIMAL + (
        "  columns:\n    income: {type: number}\n"
        "  clean:\n    - missing: {columns: [incme], by: median}\n"
    )
    [(line, column, message, hint)] = problems_of(write(tmp_path, text))
    assert (line, column) == (11, 27)
    assert "'incme'" in message
    assert hint == "Did you mean 'income'?"


def test_a_metric_of_another_task_is_refused(tmp_path: Path) -> None:
    [(line, column, message, hint)] = problems_of(
        write(tmp_path, MINIMAL + "gate: {at_least: {rmse: 1}}\n")
    )
    assert (line, column) == (8, 19)
    assert message == "there is no metric 'rmse' for task binary"
    assert "roc_auc" in hint


def test_a_metric_on_the_wrong_side_is_refused(tmp_path: Path) -> None:
    [(_, _, _, hint)] = problems_of(write(tmp_path, MINIMAL + "gate: {at_least: {log_loss: 1}}\n"))
    assert hint == "Put it under at_most."


def test_environment_references_are_filled_in_where_declared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = MINIMAL.replace("rows.csv", '"${FOLDER}/rows.csv"') + "environment: {FOLDER: data}\n"
    path = str(write(tmp_path, text))
    settings = Settings(root=tmp_path)
    source = load_pipeline(path, settings).data.sources[0].csv
    assert source is not None
    assert source.path == "data/rows.csv"
    monkeypatch.setenv("FOLDER", "/mnt")
    source = load_pipeline(path, settings).data.sources[0].csv
    assert source is not None
    assert source.path == "/mnt/rows.csv"
    source = read_pipeline(Path(path)).data.sources[0].csv
    assert source is not None
    assert source.path == "${FOLDER}/rows.csv"


def test_an_undeclared_reference_is_a_fault(tmp_path: Path) -> None:
    text = MINIMAL.replace("rows.csv", '"${HOME}/rows.csv"')
    [(line, _, message, hint)] = problems_of(write(tmp_path, text))
    assert line == 6
    assert "${HOME} is not declared" in message
    assert "environment" in hint


def test_a_declared_variable_without_a_value_is_a_fault_of_the_machine(tmp_path: Path) -> None:
    text = MINIMAL.replace("rows.csv", '"${FOLDER}/x"') + "environment: {FOLDER: null}\n"
    path = write(tmp_path, text)
    read_pipeline(path)
    with pytest.raises(InvalidPipelineError, match="8:15: FOLDER is not set"):
        load_pipeline(str(path), Settings(root=tmp_path))


def test_an_unknown_pipeline_suggests_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "include" / "pipelines").mkdir(parents=True)
    write(tmp_path / "include" / "pipelines", MINIMAL)
    with pytest.raises(PipelineFileError) as caught:
        load_pipeline("tov", Settings(root=tmp_path))
    assert caught.value.hint == "Did you mean 'toy'?"


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "toy.yaml"
    path.write_bytes(b"name: \xff\xfe")
    with pytest.raises(PipelineFileError, match="cannot be read"):
        read_pipeline(path)


def test_a_reference_stands_in_texts_only_so_that_airflow_reads_what_a_stage_reads(
    tmp_path: Path,
) -> None:
    text = MINIMAL + 'environment: {EP: "7"}\ntrain: {epochs: "${EP}"}\n'
    path = write(tmp_path, text)
    for read in (read_pipeline, lambda p: load_pipeline(str(p), Settings(root=tmp_path))):
        with pytest.raises(
            InvalidPipelineError, match=r"9:9: train.epochs is '\$\{EP\}'"
        ) as caught:
            read(path)
        assert "texts only" in caught.value.hint


def test_a_schedule_is_planned_without_the_environment(tmp_path: Path) -> None:
    text = MINIMAL + 'environment: {CRON: "0 2 * * *"}\nschedule: "${CRON}"\n'
    with pytest.raises(InvalidPipelineError, match="9:1: the schedule cannot refer"):
        load_pipeline(str(write(tmp_path, text)), Settings(root=tmp_path))


def test_what_is_filled_in_is_checked_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = MINIMAL + (
        "  columns: {a: {type: number}}\n"
        '  split: {by: group, column: "${GROUP}"}\n'
        "environment: {GROUP: a}\n"
    )
    path = write(tmp_path, text)
    assert read_pipeline(path).data.split.column == "${GROUP}"
    assert load_pipeline(str(path), Settings(root=tmp_path)).data.split.column == "a"
    monkeypatch.setenv("GROUP", "b")
    with pytest.raises(InvalidPipelineError, match="9:22: there is no column 'b'"):
        load_pipeline(str(path), Settings(root=tmp_path))


def test_a_default_cannot_refer_to_another_variable(tmp_path: Path) -> None:
    text = MINIMAL + 'environment: {A: "${B}", B: x}\n'
    [(line, column, message, _)] = problems_of(write(tmp_path, text))
    assert (line, column) == (8, 15)
    assert message == "a default cannot refer to another variable"


def test_a_default_is_a_text_whatever_it_looks_like(tmp_path: Path) -> None:
    text = MINIMAL.replace("rows.csv", '"${N}.csv"') + "environment: {N: 007}\n"
    source = load_pipeline(str(write(tmp_path, text)), Settings(root=tmp_path)).data.sources[0].csv
    assert source is not None
    assert source.path == "007.csv"


def test_bytes_that_are_no_utf8_are_placed(tmp_path: Path) -> None:
    path = tmp_path / "toy.yaml"
    path.write_bytes(MINIMAL.encode() + b"description: caf\xe9\n")
    [(line, column, message, _)] = problems_of(path)
    assert (line, column) == (8, 17)
    assert message.endswith("byte 0xe9")


def test_a_functions_arguments_are_lists_as_it_expects_them(tmp_path: Path) -> None:
    source = "python: {call: m.f, arguments: {a: [1, {b: [2]}]}}"
    text = MINIMAL.replace("csv: {path: rows.csv}", source)
    call = read_pipeline(write(tmp_path, text)).data.sources[0].python
    assert call is not None
    assert call.arguments == {"a": [1, {"b": [2]}]}


@hypothesis_settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(position=st.integers(0, len(MINIMAL) - 1), junk=st.text(max_size=6))
def test_whatever_is_typed_into_a_file_it_loads_or_is_refused_with_a_place(
    tmp_path: Path, position: int, junk: str
) -> None:
    text = MINIMAL[:position] + junk + MINIMAL[position + 1 :]
    path = tmp_path / "toy.yaml"
    path.write_text(text, encoding="utf-8", errors="replace")
    try:
        read_pipeline(path)
    except InvalidPipelineError as error:
        problems, hint = error.problems, "shown with each"
    except LastmileError as error:
        problems, hint = [], error.hint
    else:
        return
    assert hint
    assert all(p.line >= 1 and p.column >= 1 and p.message for p in problems)


EXAMPLE = Path(__file__).parents[3] / "include" / "pipelines" / "credit_risk.yaml"
ODD = ("null", "{}", "[]", "3", "true", "[1, {a: b}]", "{kind: q}", "'${Q}'", "1e400", "x", "[")


@hypothesis_settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.tuples(st.integers(0), st.integers(0), st.sampled_from(ODD)), max_size=4))
def test_whatever_word_becomes_another_the_checks_end_in_faults_alone(
    tmp_path: Path, changes: list[tuple[int, int, str]]
) -> None:
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
    for line, word, odd in changes:
        words = lines[line % len(lines)].split(" ")
        words[word % len(words)] = odd
        lines[line % len(lines)] = " ".join(words)
    with contextlib.suppress(InvalidPipelineError):
        read_pipeline(write(tmp_path, "\n".join(lines), EXAMPLE.stem))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("{column: y}", "{column: y, classes: [[a], b, c]}", "data.label.classes.0 is a list"),
        ("{column: y}", "{column: y}\n  clean: [null, 3, {}]", "data.clean.0 is empty"),
        ("{column: y}", "{column: y}\n  clean: [{}]", "expected exactly one of contract"),
    ],
)
def test_checks_over_several_keys_bear_what_is_not_there(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert problems_of(write(tmp_path, MINIMAL.replace(old, new)))[0][2].startswith(message)
