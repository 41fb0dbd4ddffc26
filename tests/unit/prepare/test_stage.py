"""The stage over real data: what it writes is what the next stage reads."""

import csv
import json

import numpy as np
import pandas as pd
import pytest
from sklearn import datasets

from lastmile.artefacts.dataset import read_dataset, read_records, read_split
from lastmile.errors import DataError
from lastmile.run import StageName, execute


@pytest.fixture
def prepare(make_pipeline, make_context, tmp_path):
    """Prepare a frame as `rows.csv` and return the stage's record and the artefact's folder."""

    def do(frame: pd.DataFrame | None = None, run_id="run-1", task="binary", **data):
        if frame is not None:
            frame.to_csv(tmp_path / "rows.csv", index=False)
        value = {"sources": [{"name": "rows", "csv": {"path": "rows.csv"}}],
                 "label": {"column": "target"}}  # fmt: skip
        pipeline = make_pipeline(task=task, data=value | data)
        context = make_context(pipeline, run_id)
        record = execute(StageName.PREPARE, context)
        return record, context.store.open_artefact(record.artefact)

    return do


@pytest.mark.parametrize(
    ("load", "task", "classes"),
    [
        (datasets.load_breast_cancer, "binary", ("0", "1")),
        (datasets.load_wine, "multiclass", ("0", "1", "2")),
        (datasets.load_diabetes, "regression", None),
    ],
)
def test_each_task_from_a_csv_of_ten_lines_of_settings(prepare, load, task, classes):
    frame = load(as_frame=True).frame
    record, folder = prepare(frame, task=task)
    dataset = read_dataset(folder)
    assert (dataset.task, dataset.classes) == (task, classes)
    assert sum(dataset.rows.values()) == len(frame) == record.rows
    assert record.summary["train"] == dataset.rows["train"]
    splits = {name: read_split(folder, name) for name in ("train", "validation", "test")}
    for split in splits.values():
        assert split.batch.numbers.shape == (len(split), frame.shape[1] - 1)
        if classes:
            assert set(split.labels) == set(range(len(classes)))
    labels = np.concatenate([split.labels for split in splits.values()])
    np.testing.assert_array_equal(np.sort(labels), np.sort(frame["target"]))
    assert len(set().union(*(split.keys for split in splits.values()))) == len(frame)


def table() -> pd.DataFrame:
    random = np.random.default_rng(1)
    rows = 300
    frame = pd.DataFrame(
        {
            "id": [f"r{i}" for i in range(rows)],
            "size": random.normal(10, 2, rows).round(3).astype(str),
            "count": random.integers(0, 5, rows).astype(str),
            "is_new": random.choice(["true", "false"], rows),
            "colour": random.choice(["red", "green"], rows),
            "target": random.choice(["yes", "no"], rows),
        }
    )
    frame.loc[5, "size"] = "wide"
    frame.loc[6, ["size", "colour"]] = [None, "=cmd()"]
    frame.loc[7, "target"] = None
    frame.loc[8:12, "count"] = None
    return frame


CONTRACT = {
    "key": "id",
    "columns": {
        "size": {"type": "number"},
        "count": {"type": "integer"},
        "is_new": {"type": "boolean"},
        "colour": {"type": "category", "allowed": ["red", "green"]},
    },
    "clean": [{"missing": {"columns": ["count"], "by": "median"}}],
}


def test_the_dataset_holds_typed_records_with_gaps_still_open(prepare):
    _, folder = prepare(table(), **CONTRACT)
    records = [r for s in ("train", "validation", "test") for r in read_records(folder, s)]
    assert len(records) == 297
    assert {type(r["size"]) for r in records} == {float}
    assert {type(r["count"]) for r in records} == {int, type(None)}
    assert sum(r["count"] is None for r in records) == 5
    assert {r["is_new"] for r in records} == {True, False}
    assert {r["colour"] for r in records} == {"red", "green"}
    cleaning = read_dataset(folder).read_cleaning()
    cleaned = cleaning(cleaning.schema.parse(records))
    assert not np.isnan(cleaned.numbers).any()


def test_rows_set_aside_are_kept_with_place_step_and_reason_and_no_formulas(prepare):
    _, folder = prepare(table(), **CONTRACT)
    with (folder / "quarantine.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["rows.line"], row["step"], row["reason"]) for row in rows] == [
        ("7", "contract", "size: not a number"),
        ("8", "contract", "colour: not one of red, green"),
        ("9", "label", "target: no label"),
    ]
    assert rows[0]["size"] == "wide"
    assert rows[1]["colour"] == "'=cmd()"
    assert read_dataset(folder).quarantined == 3


def quarantine(folder) -> list[dict[str, str]]:
    with (folder / "quarantine.csv").open() as file:
        return list(csv.DictReader(file))


def test_rows_set_aside_are_as_they_came(prepare, tmp_path):
    """Not as typed, nor as a step before the contract left them."""
    frame = table()
    frame.loc[20, ["id", "count", "is_new", "colour"]] = [" r20", "060", "Yes", " Red  x"]
    text = {"text": {"columns": ["colour"]}}
    _, folder = prepare(frame, **CONTRACT | {"clean": [text, *CONTRACT["clean"]]})
    aside = next(row for row in quarantine(folder) if row["rows.line"] == "22")
    assert aside["reason"] == "colour: not one of red, green"
    names = ("id", "count", "is_new", "colour")
    assert [aside[name] for name in names] == [" r20", "060", "Yes", " Red  x"]


def test_columns_called_as_the_quarantines_own_are_kept_beside_them(prepare):
    frame = table().assign(step="s", reason="r")
    columns = CONTRACT["columns"] | {name: {"type": "category"} for name in ("step", "reason")}
    _, folder = prepare(frame, **CONTRACT | {"columns": columns})
    aside = quarantine(folder)[0]
    assert (aside["step"], aside["step_"], aside["reason_"]) == ("contract", "s", "r")


def test_rows_of_joined_files_are_found_again_in_each(prepare, tmp_path):
    frame = table()
    more = frame[["id", "size", "count"]]
    more[:100].to_csv(tmp_path / "more-a.csv", index=False)
    with (tmp_path / "more-b.csv").open("w") as file:  # row 7 of the frame twice, and strangers
        lines = pd.concat([more[100:250], more[7:8]]).to_csv(index=False)
        file.write(f'{lines}stranger,1,1\n\n"two\nlines",1,1\nr299,wide,1')
    frame[["id", "is_new", "colour", "target"]].to_csv(tmp_path / "rows.csv", index=False)
    sources = [{"name": "rows", "csv": {"path": "rows.csv"}},
               {"name": "more", "csv": {"path": "more-*.csv"}}]  # fmt: skip
    fill = {"missing": {"columns": ["size", "count"], "by": "median"}}
    parts = {
        "sources": sources,
        "join": {"more": "id"},
        "clean": [fill],
        "quarantine": {"max_share": 1},
    }
    _, folder = prepare(**CONTRACT | parts)
    places = {(r["id"], r["rows.line"], r["more.file"], r["more.line"]) for r in quarantine(folder)}
    assert places == {
        ("r5", "7", "more-a.csv", "7"),
        ("r6", "8", "more-a.csv", "8"),
        ("r7", "9", "more-a.csv", "9"),
        ("r7", "9", "more-b.csv", "152"),
        ("r299", "301", "more-b.csv", "157"),
    }
    report = json.loads((folder / "report.json").read_text())
    rows = report["rows"]
    assert (rows["raw_rows"], rows["added"]) == (300, 1)
    assert rows["rows"] == rows["raw_rows"] + rows["added"] - rows["dropped"] - rows["quarantined"]
    counts = {"with_partner": 251, "without_partner": 49, "unused": 2, "added": 1}
    assert report["steps"][0]["joined"] == counts
    page = (folder / "report.html").read_text()
    assert "251 rows have a partner in more, 49 have none; 2 of more&#x27;s 254 rows" in page
    assert "added by joins" in page


def test_a_last_line_without_its_end_is_told(prepare, tmp_path, caplog):
    table().to_csv(tmp_path / "rows.csv", index=False)
    whole = (tmp_path / "rows.csv").read_bytes()
    _, folder = prepare(**CONTRACT)
    assert json.loads((folder / "report.json").read_text())["warnings"] == []
    (tmp_path / "rows.csv").write_bytes(whole[:-1])
    _, folder = prepare(run_id="run-2", **CONTRACT)
    (warning,) = json.loads((folder / "report.json").read_text())["warnings"]
    assert warning.startswith("rows.csv: its last line has no line end")
    assert warning in caplog.text
    assert warning in (folder / "report.html").read_text()


def test_rows_that_share_a_key_are_told_and_no_longer_where_a_step_sees_to_them(prepare, caplog):
    frame = table().assign(key=[f"k{i}" for i in range(len(table()))])
    frame.loc[1, "key"] = "k0"
    contract = {**CONTRACT, "key": "key"}
    _, folder = prepare(frame, **contract)
    (warning,) = json.loads((folder / "report.json").read_text())["warnings"]
    assert warning.startswith("2 rows share their 'key' with another, as 'k0'; all are kept.")
    assert warning in caplog.text
    steps = [*contract.get("clean", []), {"duplicates": {"by": "key"}}]
    _, folder = prepare(run_id="run-2", **{**contract, "clean": steps})
    assert json.loads((folder / "report.json").read_text())["warnings"] == []


def test_report_and_page_tell_the_same(prepare):
    _, folder = prepare(table(), **CONTRACT)
    report = json.loads((folder / "report.json").read_text())
    page = (folder / "report.html").read_text()
    assert report["rows"] == {
        "rows": 297,
        "raw_rows": 300,
        "added": 0,
        "dropped": 0,
        "quarantined": 3,
    }
    assert "size: not a number" in page
    size = next(column for column in report["columns"] if column["column"] == "size")
    for moment in ("before", "after"):
        counts = size[moment]
        assert (
            sum(counts["bars"]) + counts["below"] + counts["above"] + counts["missing"]
            == counts["rows"] - counts["wrong"]
        )
    assert (size["before"]["missing"], size["after"]["missing"]) == (1, 0)
    assert (size["before"]["wrong"], size["after"]["wrong"]) == (1, 0)
    assert "of a wrong type 1 → 0" in page
    count = next(column for column in report["columns"] if column["column"] == "count")
    assert (count["before"]["missing"], count["after"]["missing"]) == (5, 0)


def test_the_same_data_gives_the_same_artefact_and_the_second_run_reuses_it(prepare):
    first, _ = prepare(table(), **CONTRACT)
    second, _ = prepare(run_id="run-2", **CONTRACT)
    assert second.reused_from == "run-1"
    other, _ = prepare(run_id="run-3", **CONTRACT | {"quarantine": {"max_share": 0.5}})
    assert other.reused_from is None
    assert other.artefact == first.artefact


def test_a_changed_byte_is_prepared_anew(prepare):
    prepare(table(), **CONTRACT)
    changed = table()
    changed.loc[0, "size"] = "9.5"
    assert prepare(changed, run_id="run-2", **CONTRACT)[0].reused_from is None


def test_a_failed_preparation_stores_nothing(prepare, settings):
    with pytest.raises(DataError, match="quarantine"):
        prepare(table(), **CONTRACT | {"quarantine": {"max_share": 0}})
    assert not list((settings.home_path / "store").rglob("*.parquet"))


def by_group() -> pd.DataFrame:
    frame = table().drop(index=[5, 6, 7])
    frame["house"] = [f"h{i // 3}" for i in range(len(frame))]
    return frame


def test_by_group_the_dataset_tells_each_rows_group_and_the_rule(prepare):
    split = {"by": "group", "column": "house", "seed": 3}
    frame = by_group()
    _, folder = prepare(frame, **CONTRACT | {"split": split})
    houses = dict(zip(frame["id"], frame["house"], strict=True))
    for name in ("train", "validation", "test"):
        part = read_split(folder, name)
        assert part.groups.tolist() == [houses[key] for key in part.keys]
        assert "house" not in read_records(folder, name)[0]
    rule = read_dataset(folder).split
    assert (rule.by, rule.column, rule.key, rule.seed) == ("group", "house", "id", 3)
    assert rule.shares == {"train": 0.7, "validation": 0.15, "test": 0.15}
    assert rule.moments is None


def test_without_groups_no_row_has_one(prepare):
    _, folder = prepare(table(), **CONTRACT)
    assert read_split(folder, "test").groups is None
    assert read_dataset(folder).split.by == "stratified"


def test_by_time_the_rule_holds_the_moments_and_no_shares(prepare):
    frame = table()
    frame["seen"] = [f"2026-{1 + i // 50:02d}-01" for i in range(len(frame))]
    moments = {"validation_from": "2026-04-01", "test_from": "2026-05-01"}
    split = {"by": "time", "column": "seen", **moments}
    _, folder = prepare(frame, **CONTRACT | {"split": split})
    rule = read_dataset(folder).split
    assert (rule.by, rule.column, rule.moments) == ("time", "seen", moments)
    assert rule.shares is None
    assert rule.seed is None
