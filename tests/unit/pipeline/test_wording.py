"""A fault is said in the words of the file; nothing of pydantic's shows."""

from pathlib import Path

import pytest

from lastmile.pipeline.load import read_pipeline
from unit.pipeline.written import MINIMAL, problems_of, write


def only(tmp_path: Path, text: str) -> tuple[int, int, str, str]:
    [problem] = problems_of(write(tmp_path, MINIMAL + text))
    return problem


@pytest.mark.parametrize(
    ("text", "column", "message", "hint"),
    [
        ("train: {epochs: true}", 9, "train.epochs is true, not a whole number", ""),
        ("train: {epochs: '7'}", 9, "train.epochs is '7', not a whole number",
         "Take the quotes off."),
        ("train: {epochs: 1e1}", 9, "train.epochs is 10.0, not a whole number", "Write 10."),
        ("train: {epochs: 0}", 9, "train.epochs is 0; it must be more than 0", ""),
        ("train: {epochs: null}", 9, "train.epochs is empty, not a whole number", ""),
        ("train: {model: {units: [true]}}", 25, "train.model.units.0 is true, not a whole number", ""),
        ("train: {model: {units: 64}}", 17, "train.model.units is 64, not a list",
         "Write a list: [64]."),
        ("train: {model: 3}", 9, "train.model is 3, not keys and values", ""),
        ("train: {model: {l2: .inf}}", 17, "train.model.l2 is inf; it must be a finite number", ""),
        ("train: {optimizer: {kind: adm}}", 21, "train.optimizer.kind is 'adm'", "Did you mean 'adam'?"),
        ("train: {optimizer: adam}", 9, "train.optimizer is 'adam', not keys and values", ""),
        ("train: {optimizer: {momentum: 0.9}}", 21, "train.optimizer.momentum: no such key",
         "Allowed: kind, learning_rate."),
        ("train: {optimizer: {learning_rate: {kind: cosine, initial: -1}}}", 51,
         "train.optimizer.learning_rate.initial is -1; it must be more than 0", ""),
        ("train: {optimizer: {learning_rate: {initial: 1}}}", 21,
         "train.optimizer.learning_rate does not say its kind",
         "Add `kind: cosine` or `kind: exponential`."),
        ("train: {optimizer: {learning_rate: fast}}", 21,
         "train.optimizer.learning_rate is 'fast', not a number", ""),
        ("train: {class_weights: balancd}", 9, "train.class_weights is 'balancd'",
         "Did you mean 'balanced'?"),
        ("train: {class_weights: {a: 0}}", 25,
         "train.class_weights.a is 0; it must be more than 0", ""),
        ("train: {class_weights: [1, 2]}", 9, "train.class_weights is a list, not keys and values", ""),
        ("tags: risk", 1, "tags is 'risk', not a list", "Write a list: [risk]."),
        ("tags: [2020]", 8, "tags.0 is 2020, not a text", 'Put it in quotes: "2020".'),
        ("description: true", 1, "description is true, not a text", 'Put it in quotes: "true".'),
        ("environment: [A]", 1, "environment is a list, not keys and values", ""),
    ],
)  # fmt: skip
def test_a_fault_is_one_sentence_and_a_hint(
    tmp_path: Path, text: str, column: int, message: str, hint: str
) -> None:
    assert only(tmp_path, text + "\n") == (8, column, message, hint)


def test_a_value_of_several_types_is_refused_once(tmp_path: Path) -> None:
    text = MINIMAL.replace("{column: y}", "{column: y, map: {a: [1], b: true}}")
    assert [message for _, _, message, _ in problems_of(write(tmp_path, text))] == [
        "data.label.map.a is a list, not a text or a whole number or a number",
        "data.label.map.b is true, not a text or a whole number or a number",
    ]


def test_a_name_says_what_a_name_is(tmp_path: Path) -> None:
    found = problems_of(write(tmp_path, MINIMAL.replace("{name: rows", "{name: My Rows")))
    assert found[0][2] == "data.sources.0.name is 'My Rows', which is no name"


def test_without_a_kind_an_optimizer_is_adam_and_a_model_dense(tmp_path: Path) -> None:
    text = MINIMAL + "train: {optimizer: {learning_rate: 0.01}, model: {units: [8]}}\n"
    train = read_pipeline(write(tmp_path, text)).train
    assert (train.optimizer.kind, train.optimizer.learning_rate) == ("adam", 0.01)
    assert (train.model.kind, train.model.units) == ("dense", (8,))


def test_a_schedule_of_the_learning_rate_is_read(tmp_path: Path) -> None:
    text = MINIMAL + (
        "train: {optimizer: {kind: sgd, learning_rate: {kind: exponential, initial: 1, decay: 0.9}}}\n"
    )
    rate = read_pipeline(write(tmp_path, text)).train.optimizer.learning_rate
    assert not isinstance(rate, float)
    assert rate.kind == "exponential"


def test_spellings_are_texts_as_they_stand_quoted_or_not(tmp_path: Path) -> None:
    text = MINIMAL.replace("{column: y}", "{column: y, classes: [0, 1]}") + (
        "  columns: {zip: {type: category, allowed: [1, 007, 1.50, true, 'x']}}\n"
    )
    data = read_pipeline(write(tmp_path, text)).data
    assert data.columns["zip"].allowed == ("1", "007", "1.50", "true", "x")
    assert data.label.classes == ("0", "1")


def test_a_bare_step_that_needs_settings_says_which(tmp_path: Path) -> None:
    found = problems_of(write(tmp_path, MINIMAL + "  clean: [missing, dupliactes]\n"))
    assert ["data.clean.1.dupliactes: no such key", "Did you mean 'duplicates'?"] in [
        [message, hint] for _, _, message, hint in found
    ]
    assert found[0][:2] == (8, 11)
    assert found[0][2].endswith("columns is missing")
