"""A file is read by YAML 1.2's core schema; what could harm the reader is refused at its place."""

import math
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from lastmile.pipeline.load import read_pipeline
from lastmile.pipeline.yaml12 import NoYamlError, Text, plain_value
from unit.pipeline.written import MINIMAL, problems_of, write


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("010", 10), ("08", 8), ("-7", -7), ("+7", 7), ("0o17", 15), ("0xfF", 255),
        ("1_000", "1_000"), ("0b11", "0b11"), ("1:30", "1:30"), ("0x", "0x"), ("-0x1", "-0x1"),
        ("1.", 1.0), (".5", 0.5), ("1e3", 1000.0), ("-1.5E-2", -0.015), (".", "."), ("+", "+"),
        (".inf", math.inf), ("-.INF", -math.inf), ("1.2.3", "1.2.3"), ("1e", "1e"),
        ("true", True), ("FALSE", False), ("yes", "yes"), ("no", "no"), ("on", "on"), ("y", "y"),
        ("null", None), ("~", None), ("", None), ("nULL", "nULL"), ("2026-01-01", "2026-01-01"),
        ("٣", "٣"), ("=", "="), ("<<", "<<"),
    ],
)  # fmt: skip
def test_a_plain_scalar_is_what_the_core_schema_says(text: str, value: object) -> None:
    assert plain_value(text) == value
    assert type(plain_value(text)) is type(value)


def test_not_a_number_is_one() -> None:
    assert math.isnan(plain_value(".NaN"))


def read(text: str) -> Text:
    return Text(text, lambda _: False)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.text("abc: #-0.e", max_size=9)
        | st.floats(allow_nan=False, allow_infinity=False).filter(lambda x: "e" not in repr(x)),
        lambda inside: st.lists(inside, max_size=3)
        | st.dictionaries(st.text("abc", min_size=1), inside, max_size=3),
        max_leaves=12,
    )
)  # fmt: skip
def test_what_a_writer_of_yaml_writes_is_read_as_it_was(value: Any) -> None:
    text = yaml.dump(value, Dumper=yaml.CSafeDumper)
    assert frozen(read(text).values) == frozen(value)


def frozen(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: frozen(item) for key, item in value.items()}
    return tuple(map(frozen, value)) if isinstance(value, (list, tuple)) else value


def test_a_leading_zero_is_no_octal(tmp_path: Path) -> None:
    train = read_pipeline(write(tmp_path, MINIMAL + "train: {batch_size: 010, seed: 08}\n")).train
    assert (train.batch_size, train.seed) == (10, 8)


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 9)
)


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("train: {seed: !!int abc}\n", (8, 15), "tags (!!int) are not read"),
        ("train: {seed: !!timestamp x}\n", (8, 15), "tags (!!timestamp) are not read"),
        ("tags: !!python/object:os.system x\n", (8, 7), "tags (!!python/object:os.system)"),
        ("tags: &a [*a]\n", (8, 7), "anchors and aliases (&a) are not read"),
        ("tags: " + "[" * 3000 + "]" * 3000 + "\n", (8, 38), "nested more than 32 levels deep"),
        ("tags: " + "[" * 100_000, (8, 38), "nested more than 32 levels deep"),
        ("tags: " + "{a: " * 3000, (8, 131), "nested more than 32 levels deep"),
        (BOMB, (8, 1), "a0: no such key"),
        (BOMB.replace("a0: ", "tags: "), (8, 7), "anchors and aliases (&a0) are not read"),
        (f"train: {{seed: {'9' * 5000}}}\n", (8, 15), "a number with too many digits"),
        (f"train: {{seed: 0x{'f' * 5000}}}\n", (8, 15), "a number with too many digits"),
        ("? [a, b]\n: c\n", (8, 3), "a key is a plain word or a quoted text"),
        ("? !!str a\n: c\n", (8, 3), "a key is a plain word or a quoted text"),
        ("<<: {owner: x}\n", (8, 1), "`<<` merges nothing"),
        ("---\nname: b\n", (8, 1), "a second document begins here"),
        (f"description: {'x' * 300_000}\n", (1, 1), "larger than 256 KB"),
        ("description: a\0b\n", (8, 15), "not YAML: the character U+0000"),
        ("description: é\0b\n", (8, 15), "not YAML: the character U+0000"),
    ],
)
def test_what_could_harm_the_reader_is_a_fault_at_its_place(
    tmp_path: Path, text: str, place: tuple[int, int], message: str
) -> None:
    began = time.monotonic()
    line, column, found, _ = problems_of(write(tmp_path, MINIMAL + text))[0]
    assert ((line, column), found[: len(message)]) == (place, message)
    assert time.monotonic() - began < 5  # a bomb took half a minute


def test_a_value_that_cannot_be_read_is_told_of_once(tmp_path: Path) -> None:
    text = MINIMAL + "train: {epochs: *e , seed: !!int abc}\n"
    assert [problem[1:3] for problem in problems_of(write(tmp_path, text))] == [
        (17, "anchors and aliases (*e) are not read"),
        (28, "tags (!!int) are not read"),
    ]


def test_an_unquoted_reference_is_told_how_to_stand(tmp_path: Path) -> None:
    [(_, _, message, hint)] = problems_of(
        write(tmp_path, MINIMAL.replace("{path: rows.csv}", "{path: ${X}}"))
    )
    assert message.startswith("not YAML")
    assert hint == 'Put it in quotes: "${NAME}".'


def test_the_deepest_place_that_is_read() -> None:
    assert read("[" * 32 + "]" * 32).values
    with pytest.raises(NoYamlError):
        read("[" * 33 + "]" * 33)


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "toy.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + MINIMAL.replace("\n", "\r\n").encode())
    assert read_pipeline(path).owner == "us"
