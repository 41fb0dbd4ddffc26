"""`lastmile predict`: what a file says is what the served model is asked."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deployed import Service, new_service
from lastmile.cli.predict import _from_csv, _from_json, _rows, ask_served_model
from lastmile.cli.serve import bring_up
from lastmile.errors import DataError, PermanentError, PipelineFileError
from lastmile.features.schema import Column, ColumnKind

INPUTS = {"age": "INT64", "income": "FP64", "vip": "BOOL", "code": "BYTES"}
HERE = Path("x.csv")


def read(text: str) -> list[dict[str, Any]]:
    return _from_csv(HERE, list(_rows(HERE, text)), INPUTS)


def test_a_field_has_the_type_that_the_model_reads() -> None:
    text = "age,income,vip,code\n30,1e3,true,007\n,, NO ,\n+7, 2.50,1,true\n"
    assert read(text) == [
        {"age": 30, "income": 1000.0, "vip": True, "code": "007"},
        {"age": None, "income": None, "vip": False, "code": None},
        {"age": 7, "income": 2.5, "vip": True, "code": "true"},
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("age\n1_000\n", "x.csv:2: age is '1_000', not a whole number."),
        ("income\n1\nnan\n", "x.csv:3: income is 'nan', not a number."),
        ("income\n1e999\n", "x.csv:2: income is '1e999', not a number."),
        ("income\n١\n", "x.csv:2: income is '١', not a number."),
        ("vip\nmaybe\n", "x.csv:2: vip is 'maybe', not true or false."),
        ("age,code\n1,a\n\n2,b,c\n", "x.csv:4: the row has 3 fields, the header 2."),
        ("age,code\n1\n", "x.csv:2: the row has 1 fields, the header 2."),
        ('code,age\n"a\nb",1\nc\n', "x.csv:4: the row has 1 fields, the header 2."),
        ('code\n"a\n', "x.csv:2: no CSV: unexpected end of data."),
        ("age,age\n1,2\n", "x.csv:1: the column 'age' stands twice."),
        ("nothing\n1\n", "x.csv:1: none of the columns is one that the model reads."),
    ],
)
def test_a_field_or_row_that_cannot_be_meant_is_refused_with_its_line(text: str, says: str) -> None:
    with pytest.raises(DataError) as refused:
        read(text)
    assert refused.value.headline == says


def test_a_quoted_line_break_belongs_to_its_field() -> None:
    assert read('age,code\n1,"a\r\nb\x0bc"\n') == [{"age": 1, "code": "a\r\nb\x0bc"}]


def test_columns_that_the_model_does_not_read_are_left_out_and_named(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        assert read("id,age,defaulted\nx,1,Y\n") == [{"age": 1}]
    assert "id, defaulted" in caplog.text


@pytest.mark.parametrize(
    "text", ['[{"x": 1}]', '{"instances": [{"x": 1}]}', '{"data": [{"x": 1}]}', '{"x": 1}']
)
def test_json_is_taken_as_the_server_takes_it(text: str) -> None:
    assert _from_json(Path("x.json"), text) == [{"x": 1}]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[{"x": 1, "x": 2}]', "the key 'x' stands twice"),
        ("[" * 100_000, "nested too deeply"),
        ("[" + "9" * 5000 + "]", "x.json"),
        ('[{"x": }]', "x.json:1:8: no JSON"),
    ],
)
def test_json_that_cannot_be_meant_is_refused(text: str, says: str) -> None:
    with pytest.raises(DataError) as refused:
        _from_json(Path("x.json"), text)
    assert says in refused.value.headline


@pytest.fixture(scope="module")
def typed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A served model that reads a number, a boolean and a category."""
    columns = (
        Column("x", ColumnKind.NUMBER),
        Column("vip", ColumnKind.BOOLEAN),
        Column("code", ColumnKind.CATEGORY),
    )
    with new_service(tmp_path_factory.mktemp("typed")) as made:
        made.release(
            0.0,
            bundle={"columns": columns, "vocabularies": (("007",),)},
            records=({"x": 1.0, "vip": True, "code": "007"},),
            answers=({"value": 3.0},),
        )
        yield made


@pytest.mark.slow
def test_a_file_with_a_mark_and_a_capital_suffix_is_answered(
    typed: Service, tmp_path: Path
) -> None:
    file = tmp_path / "DATA.CSV"
    file.write_bytes("\ufeffx,vip,code,key\r\n1,true,007,a\r\n2.5,no,007,b\r\n".encode())
    answers = ask_served_model("toy", file, typed.settings)
    assert answers.predictions == ({"value": 3.0}, {"value": 3.5})
    assert (answers.model, answers.version) == ("toy", 1)


@pytest.mark.slow
def test_a_pipeline_may_be_given_by_its_file(typed: Service, tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    file.write_text('[{"x": 1.0, "vip": true, "code": "007"}]')
    definition = typed.root / "toy.yaml"
    definition.write_text(
        "name: toy\nowner: me\ntask: regression\n"
        "data: {sources: [{name: s, csv: {path: s.csv}}], label: {column: y}}\n"
    )
    assert ask_served_model(str(definition), file, typed.settings).version == 1
    assert bring_up([str(definition)], typed.settings).models[0].state == "ready"
    with pytest.raises(PipelineFileError):
        ask_served_model(str(tmp_path / "none.yaml"), file, typed.settings)


@pytest.mark.slow
def test_an_unreadable_pointer_is_not_a_model_that_was_never_released(
    typed: Service, tmp_path: Path
) -> None:
    file = tmp_path / "x.json"
    file.write_text('[{"x": 1.0, "vip": true, "code": "007"}]')
    with pytest.raises(PermanentError, match="has been released"):
        ask_served_model("tulips", file, typed.settings)
    typed.take_down()
    typed.public.pointer.write_text("{")
    with pytest.raises(Exception, match=r"pointer\.json cannot be read") as down:
        ask_served_model("toy", file, typed.settings)
    assert "lastmile serve toy" in down.value.hint  # type: ignore[attr-defined]
    assert typed.bring_up().state == "ready"
