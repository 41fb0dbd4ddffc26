"""Pipeline files for tests, and what is found in them."""

from pathlib import Path

import pytest

from lastmile.pipeline.load import InvalidPipelineError, read_pipeline

MINIMAL = """\
name: toy
owner: us
task: binary
data:
  sources:
    - {name: rows, csv: {path: rows.csv}}
  label: {column: y}
"""


def write(tmp_path: Path, text: str, name: str = "toy") -> Path:
    path = tmp_path / f"{name}.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def problems_of(path: Path) -> list[tuple[int, int, str, str]]:
    with pytest.raises(InvalidPipelineError) as caught:
        read_pipeline(path)
    return [(p.line, p.column, p.message, p.hint) for p in caught.value.problems]
