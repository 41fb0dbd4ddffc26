"""What a dataset's files say to the stages after it."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lastmile.artefacts.dataset import (
    KEY,
    LABEL,
    Dataset,
    SourceRows,
    read_dataset,
    read_records,
    read_split,
    write_dataset,
)
from lastmile.features.schema import Column, ColumnKind, Schema
from lastmile.features.steps import ContractStep, FillStep
from lastmile.features.transform import Cleaning, cleaning_to_json

SCHEMA = Schema(
    (
        Column("colour", ColumnKind.CATEGORY),
        Column("count", ColumnKind.INTEGER),
        Column("is_new", ColumnKind.BOOLEAN),
        Column("size", ColumnKind.NUMBER),
    )
)
CLEANING = Cleaning(SCHEMA, (ContractStep(), FillStep(values={"count": 1.0})))
RECORDS = [
    {"colour": "red", "count": 3, "is_new": True, "size": 1.5},
    {"colour": None, "count": None, "is_new": None, "size": None},
]


@pytest.fixture
def folder(tmp_path):
    write_dataset(
        tmp_path,
        Dataset(
            pipeline="toy",
            task="binary",
            classes=("no", "yes"),
            cleaning=cleaning_to_json(CLEANING),
            rows={"train": 2, "validation": 0, "test": 0},
            quarantined=1,
            sources=(SourceRows(name="rows", kind="csv", rows=3, digest="d"),),
        ),
    )
    columns = {name: [record[name] for record in RECORDS] for name in SCHEMA.names}
    table = pa.table(columns | {KEY: ["a", "b"], LABEL: [1.0, 0.0]})
    pq.write_table(table, tmp_path / "train.parquet")
    return tmp_path


def test_the_document_comes_back_as_it_was_written(folder):
    dataset = read_dataset(folder)
    assert dataset.classes == ("no", "yes")
    assert dataset.read_cleaning() == CLEANING
    write_dataset(folder, dataset)
    assert read_dataset(folder) == dataset


def test_a_split_is_the_same_batch_that_the_server_would_parse(folder):
    split = read_split(folder, "train")
    parsed = SCHEMA.parse(RECORDS)
    np.testing.assert_array_equal(split.batch.numbers, parsed.numbers)
    np.testing.assert_array_equal(split.batch.texts, parsed.texts)
    assert split.keys.tolist() == ["a", "b"]
    assert split.labels.tolist() == [1.0, 0.0]
    assert len(split) == 2


def test_records_are_what_a_client_would_send(folder):
    assert read_records(folder, "train") == RECORDS
