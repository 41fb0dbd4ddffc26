"""Data that no pipeline should swallow: each is refused with a reason, and nothing that stands falls."""

import codecs
import contextlib
import hashlib
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lastmile.errors import ExitCode
from project import FLOWERS, Project, write_flowers

pytestmark = pytest.mark.chaos

HEADER = b"flower_id,petal_length,petal_width,colour,is_virginica\n"
ROWS = [
    f"f{i},{4 + i % 3}.5,1.{i % 10},blue,{'yes' if i % 3 else 'no'}\n".encode() for i in range(400)
]
GOOD = HEADER + b"".join(ROWS)


def replaced(old: bytes, new: bytes, count: int = 400) -> bytes:
    return HEADER + b"".join(
        row.replace(old, new) if i < count else row for i, row in enumerate(ROWS)
    )


HOSTILE = {
    "missing file": (None, "flowers.csv: there is no such file"),
    "empty file": (b"", "flowers.csv: the file is empty"),
    "header only": (HEADER, "flowers.csv: a header, but no rows"),
    "NUL byte": (replaced(b"f7,", b"f7\0,"), "flowers.csv:9, column 'flower_id': a NUL byte"),
    "latin-1": (replaced(b"blue", b"bl\xfc", 3), "flowers.csv:2, column 'colour': byte 0xfc"),
    "utf-16": (GOOD.decode().encode("utf-16"), "flowers.csv:1"),
    "truncated last row": (GOOD[:-12], "flowers.csv:401, column 'colour': 3 fields"),
    "half a file of short rows": (replaced(b",blue,", b",", 200), "flowers.csv:2, column"),
    "a row too long": (replaced(b"f3,", b"f3,,"), "flowers.csv:5: 6 fields"),
    "unclosed quote": (replaced(b"f9,", b'"f9,'), "flowers.csv:11: a quote opens here"),
    "duplicate columns": (
        GOOD.replace(b"petal_width", b"petal_length", 1),
        "columns 2 and 3 are both called 'petal_length'",
    ),
    "missing column": (GOOD.replace(b"colour", b"color", 1), "lacks colour (there is color)"),
    "oversized field": (replaced(b"f5,", b"f" * (2 << 20) + b","), "a field of more than 1 MiB"),
    "infinite numbers": (replaced(b"4.5", b"inf"), "petal_length: not a finite number"),
    "contract broken": (replaced(b"4.5", b"-4.5", 30), "petal_length: below 0 (10)"),
    "single class": (replaced(b",no", b",yes"), "All 400 rows have the same label"),
    "label never maps": (
        replaced(b",no", b",N").replace(b",yes", b",Y"),
        "No value of the label 'is_virginica' can be used: it holds 'Y' (266), 'N' (134)",
    ),
    "nothing but a byte order mark": (codecs.BOM_UTF8, "flowers.csv: the file is empty"),
}  # fmt: skip


def standing(project: Project) -> dict[str, str]:
    """Digests of all that earlier runs left: store and registry."""
    return {
        str(path.relative_to(project.home)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(project.home.rglob("*"))
        if path.is_file() and not path.name.startswith("ledger.db")
    }


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project with a dataset from good data."""
    project = Project(tmp_path_factory.mktemp("hostile"))
    project.add("flowers", FLOWERS)
    write_flowers(project.root / "flowers.csv")
    project.ask("prepare", "flowers", "--run-id", "good")
    return project


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_data_is_refused_and_nothing_stored_is_lost(project: Project, kind: str) -> None:
    content, headline = HOSTILE[kind]
    before, file = standing(project), project.root / "flowers.csv"
    file.unlink(missing_ok=True)
    if content is not None:
        file.write_bytes(content)
    error = project.ask("prepare", "flowers", "--run-id", "bad", expect=ExitCode.WRONG_INPUT)[
        "error"
    ]
    assert error["type"] == "DataError"
    assert headline in error["headline"]
    assert error["hint"]
    assert standing(project) == before


def test_a_million_columns_cost_neither_memory_nor_time(project: Project) -> None:
    names = b",".join(b"c%d" % i for i in range(1_000_000))
    row = b",".join([b"1"] * 1_000_000)
    (project.root / "flowers.csv").write_bytes(names + b"\n" + row + b"\n")
    memory, seconds = _measure(project)
    assert memory < 400 << 20
    assert seconds < 30


MEASURED = """
import json, resource, subprocess, sys, time
started = time.monotonic()
done = subprocess.run(sys.argv[1:], capture_output=True, text=True)
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
print(json.dumps([done.returncode, done.stdout, peak, time.monotonic() - started]))
"""


def _measure(project: Project) -> tuple[int, float]:
    """Run `prepare` to its refusal and return peak memory in bytes, and seconds.

    Started by a small process: a child's peak begins with the size of the process that it is a copy of.
    """
    command = [sys.executable, "-P", "-m", "lastmile.cli", "prepare", "flowers", "--run-id", "bad"]
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *command, "--json"], cwd=project.root, check=True,
        capture_output=True, text=True, env={**os.environ, "LASTMILE_ROOT": str(project.root)},
    )  # fmt: skip
    code, answer, memory, seconds = json.loads(done.stdout)
    assert code == ExitCode.WRONG_INPUT
    assert "at most 10000 columns" in answer
    return memory, seconds


def test_a_glob_over_a_folder_without_files_is_refused(project: Project, tmp_path: Path) -> None:
    source = {"name": "flowers", "csv": {"path": f"{tmp_path}/*.csv"}}
    data = FLOWERS["data"] | {"sources": [source]}
    project.add("weeds", FLOWERS | {"data": data})
    answer = project.ask("prepare", "weeds", "--run-id", "bad", expect=ExitCode.WRONG_INPUT)
    assert "there is no such file" in answer["error"]["headline"]


HOOK = """
import sys
import pandas as pd
def ends(): sys.exit(0)
def prints():
    print("so far so good")
    return pd.read_csv("flowers.csv")
"""


def with_source(project: Project, name: str, **source: object) -> None:
    project.add(name, FLOWERS | {"data": FLOWERS["data"] | {"sources": [{"name": name, **source}]}})


def test_a_function_that_leaves_or_prints_spoils_neither_exit_code_nor_answer(
    project: Project,
) -> None:
    """It stands in the project's own include/, which nobody put on Python's path."""
    (project.root / "include" / "hooks_of_flowers.py").write_text(HOOK)
    for name in ("ends", "prints"):
        with_source(project, name, python={"call": f"hooks_of_flowers.{name}"})
    (project.root / "flowers.csv").write_bytes(GOOD)
    assert "rows" in project.ask("prepare", "prints", "--run-id", "r")
    before = standing(project)
    answer = project.ask("prepare", "ends", "--run-id", "r", expect=ExitCode.WRONG_INPUT)
    assert "hooks_of_flowers.py:4: it called sys.exit(0)" in answer["error"]["headline"]
    assert standing(project) == before


def test_a_query_that_drops_its_table_is_refused_and_the_table_stands(project: Project) -> None:
    file = project.root / "flowers.db"
    with contextlib.closing(sqlite3.connect(file)) as database:
        database.execute("create table flowers (flower_id)")
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    project.environment["LASTMILE_CONNECTION_FLOWERS"] = f"sqlite:///{file}"
    sql = {"connection": "flowers", "query": "drop table flowers"}
    with_source(project, "dropping", sql=sql)
    answer = project.ask("prepare", "dropping", "--run-id", "r", expect=ExitCode.WRONG_INPUT)
    assert "readonly database" in answer["error"]["headline"]
    assert hashlib.sha256(file.read_bytes()).hexdigest() == digest
