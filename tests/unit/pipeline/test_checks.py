"""What a file alone tells is told by the check, all of it at once, each fault at its place."""

from pathlib import Path

import pytest

from lastmile.pipeline.load import read_pipeline
from unit.pipeline.written import MINIMAL, problems_of, write

COLUMNS = "  columns: {n: {type: number}, c: {type: category}, t: {type: timestamp}, b: {type: boolean}}\n"


def only(tmp_path: Path, text: str) -> tuple[int, str]:
    [(line, _, message, _)] = problems_of(write(tmp_path, text))
    return line, message


def test_other_faults_hide_none_of_those_over_several_keys(tmp_path: Path) -> None:
    text = MINIMAL.replace("{column: y}", "{column: n}").replace("owner", "ownr") + COLUMNS + (
        "  clean:\n"
        "    - missing: {columns: [nn], by: median, flag: maybe}\n"
        "    - outliers: {columns: [c]}\n"
        "  split: {by: time, column: tt, validation_from: yesterday, test_from: 2020}\n"
        "gate: {at_least: {roc_acu: 0.7, f1: high}}\n"
        "train: {epochs: 0, class_weights: {yess: 1}}\n"
    )  # fmt: skip
    found = {(line, message) for line, _, message, _ in problems_of(write(tmp_path, text))}
    assert found == {
        (1, "owner is missing"),
        (2, "ownr: no such key"),
        (8, "the label 'n' stands in `columns`"),
        (10, "there is no column 'nn' in data.columns"),
        (10, "data.clean.0.missing.flag is 'maybe', not true or false"),
        (11, "column 'c' is a category; outliers are for numbers"),
        (12, "there is no column 'tt' in data.columns"),
        (12, "validation_from is 'yesterday', which is no ISO 8601 time"),
        (12, "data.split.test_from is 2020, not a text"),
        (13, "there is no metric 'roc_acu' for task binary"),
        (13, "gate.at_least.f1 is 'high', not a number"),
        (14, "train.epochs is 0; it must be more than 0"),
    }


def test_what_a_misspelt_key_may_have_meant_makes_no_further_fault(tmp_path: Path) -> None:
    text = MINIMAL + "  keyy: id\n  clean: [{duplicates: {by: key}}]\n"
    assert only(tmp_path, text) == (8, "data.keyy: no such key")
    text = MINIMAL.replace("csv: {", "cvs: {")
    assert only(tmp_path, text) == (6, "data.sources.0.cvs: no such key")


def test_a_wrong_column_is_still_a_column(tmp_path: Path) -> None:
    text = MINIMAL + (
        "  columns: {n: {type: nmber}, m: {type: number, min: 2, max: 1}}\n"
        "  clean: [{missing: {columns: [n, m, o], by: median}}]\n"
    )
    assert [message for _, _, message, _ in problems_of(write(tmp_path, text))] == [
        "data.columns.n.type is 'nmber'",
        "min 2 is above max 1",
        "there is no column 'o' in data.columns",
    ]


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ("99 99 * * *", "no cron expression"),
        ("0 0 31 2 *", "no cron expression"),
        ("a b c d e", "no cron expression"),
        ("0 2 * *", "a cron expression has 5 fields, this has 4"),
        ("@nightly", "there is no schedule '@nightly'"),
    ],
)
def test_a_schedule_that_airflow_would_refuse(tmp_path: Path, schedule: str, message: str) -> None:
    line, found = only(tmp_path, MINIMAL + f'schedule: "{schedule}"\n')
    assert line == 8
    assert found.startswith(message)


@pytest.mark.parametrize("schedule", ["*/5 0 * jan mon-fri", "@daily", "@once", "0 0 L * *"])
def test_a_schedule_that_airflow_takes(tmp_path: Path, schedule: str) -> None:
    assert (
        read_pipeline(write(tmp_path, MINIMAL + f'schedule: "{schedule}"\n')).schedule == schedule
    )


@pytest.mark.parametrize(
    ("split", "messages"),
    [
        ("by: time, column: t, validation_from: yesterday, test_from: 2026-01-01",
         ["validation_from is 'yesterday', which is no ISO 8601 time"]),
        ("by: time, column: t, validation_from: 2026-02-30, test_from: 2026-04-01",
         ["validation_from is '2026-02-30', which is no ISO 8601 time"]),
        ("by: time, column: t, validation_from: 2026-02-01, test_from: 2026-01-01",
         ["test_from 2026-01-01 is not after validation_from 2026-02-01"]),
        ("by: time, column: t, validation_from: 2026-02-01", ["a split by time needs `test_from`"]),
        ("by: stratified, column: g, validation_from: 2026-02-01",
         ["a split by stratified does not read `column`",
          "a split by stratified does not read `validation_from`"]),
        ("by: time, column: t, validation_from: 2026-01-01, test_from: 2026-02-01, train: 0.5",
         ["a split by time does not read `train`"]),
        ("by: group", ["a split by group needs `column`"]),
        ("train: 0.9", ["train, validation and test add up to 1.2, not to 1"]),
    ],
)  # fmt: skip
def test_a_split_that_cannot_be(tmp_path: Path, split: str, messages: list[str]) -> None:
    found = problems_of(write(tmp_path, MINIMAL + f"  split: {{{split}}}\n"))
    assert [message for _, _, message, _ in found] == messages


@pytest.mark.parametrize(
    ("label", "task", "messages"),
    [
        ("map: {Y: 1, N: 0}, classes: [no, yes]", "binary", []),
        ("map: {Y: good, N: bad}", "binary", []),
        ("map: {Y: yess, N: no}, classes: [no, yes]", "binary",
         ["map leads to 'yess', which is no class", "no spelling leads to the class 'yes'"]),
        ("map: {Y: 1, N: 1}, classes: [no, yes]", "binary",
         ["no spelling leads to the class 'no'"]),
        ("map: {Y: 1, N: 0, M: 2}", "binary", ["a binary task has two classes, not 1, 0, 2"]),
        ("classes: [a, b, c]", "binary", ["a binary task has two classes, not a, b, c"]),
        ("classes: [a, b, a]", "multiclass", ["the class 'a' stands here twice"]),
        ("map: {x: a}", "multiclass", ["there is one class only, a"]),
        ("classes: [a, b]", "regression", ["classes are not for regression"]),
        ("map: {low: 1, high: many}", "regression",
         ["'many' is no number, as regression needs"]),
    ],
)  # fmt: skip
def test_map_classes_and_task_fit_each_other(
    tmp_path: Path, label: str, task: str, messages: list[str]
) -> None:
    text = MINIMAL.replace("{column: y}", f"{{column: y, {label}}}").replace("binary", task)
    path = write(tmp_path, text)
    found = [message for _, _, message, _ in problems_of(path)] if messages else []
    assert found == messages
    if not messages:
        read_pipeline(path)


def test_the_label_is_not_the_key(tmp_path: Path) -> None:
    assert only(tmp_path, MINIMAL + "  key: y\n") == (7, "the label 'y' is also the key")


def test_weights_are_for_classes_there_are(tmp_path: Path) -> None:
    text = MINIMAL.replace("{column: y}", "{column: y, classes: [no, yes]}")
    text += "train: {class_weights: {yess: 2}}\n"
    [(line, column, message, hint)] = problems_of(write(tmp_path, text))
    assert (line, column, message) == (8, 25, "there is no class 'yess'")
    assert hint == "Did you mean 'yes'?"


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ("missing: {columns: [c], by: median}", "column 'c' is a category; it has no median"),
        ("missing: {columns: [t], by: mode}", "column 't' is a timestamp; its mode says nothing"),
        ("missing: {columns: [n], by: constant, value: x}", "column 'n' is a number; 'x' cannot"),
        ("missing: {columns: [c], by: constant, value: 3}", "column 'c' is a category; 3 cannot"),
        ("missing: {columns: [n], by: constant}", "by: constant needs a value"),
        ("missing: {columns: [n], by: median, value: 3}", "value is for by: constant"),
        ("missing: {columns: [n], by: forward_fill}", "by: forward_fill needs an order"),
        ("missing: {columns: [n], by: median, group: c}", "group is for by: forward_fill"),
        ("missing: {columns: [n], by: drop, flag: true}", "flag is for by: constant"),
        ("missing: {columns: [y], by: mode}", "missing would fill the label 'y'"),
        ("outliers: {columns: [c]}", "column 'c' is a category; outliers are for numbers"),
        ("outliers: {columns: [b]}", "column 'b' is a boolean; outliers are for numbers"),
        ("text: {columns: [n]}", "column 'n' is a number; text is for categories"),
        ("duplicates: {keep: newest}", "keep: newest needs an order"),
        ("duplicates: {order_by: t}", "order_by is for keep: newest"),
        ("duplicates: {by: key}", "duplicates by key, but data.key is not given"),
    ],
)
def test_a_step_that_does_not_fit_its_columns(tmp_path: Path, step: str, message: str) -> None:
    line, found = only(tmp_path, MINIMAL + COLUMNS + f"  clean:\n    - {step}\n")
    assert line == 10
    assert found.startswith(message)


def test_steps_that_fit_are_taken(tmp_path: Path) -> None:
    steps = (
        "missing: {columns: [n, b], by: median}", "missing: {columns: [c, n], by: mode}",
        "missing: {columns: [t, y], by: drop}", "missing: {columns: [n], by: constant, value: 0}",
        "text: {columns: [c, y]}", "outliers: {columns: [n]}", "contract",
    )  # fmt: skip
    text = MINIMAL + COLUMNS + "  clean:\n" + "".join(f"    - {step}\n" for step in steps)
    assert len(read_pipeline(write(tmp_path, text)).data.clean) == len(steps)


@pytest.mark.parametrize(
    ("gate", "message", "hint"),
    [
        ("at_least: {roc_auc: 75}", "roc_auc is always from 0 to 1, never 75", "Did you mean 0.75?"),
        ("at_least: {recall: -1}", "recall is always from 0 to 1, never -1", ""),
        ("at_most: {log_loss: -1}", "log_loss is always at least 0, never -1", ""),
        ("primary: recall", "models cannot be compared by recall alone",
         "A model that always says yes has the best recall there is."),
        ("primary: precision", "models cannot be compared by precision alone",
         "A model that says yes once, when it is sure, has the best precision there is."),
        ("primary: roc_acu", "there is no metric 'roc_acu' for task binary",
         "Did you mean 'roc_auc'?"),
    ],
)  # fmt: skip
def test_a_gate_that_says_nothing(tmp_path: Path, gate: str, message: str, hint: str) -> None:
    [(line, _, found, shown)] = problems_of(write(tmp_path, MINIMAL + f"gate: {{{gate}}}\n"))
    assert (line, found) == (8, message)
    assert shown.startswith(hint)


def test_sources_and_join_fit_each_other(tmp_path: Path) -> None:
    text = MINIMAL.replace(
        "  label", "    - {name: rows, csv: {path: b}}\n    - {name: more, csv: {path: c}}\n  label"
    )
    text += "  join: {rows: id, mroe: id}\n"
    assert [problem[:3] for problem in problems_of(write(tmp_path, text))] == [
        (7, 8, "two sources have the name 'rows'"),
        (8, 7, "join does not say how more is joined"),
        (10, 20, "'mroe' is no further source"),
    ]
