"""From a pipeline file to a `Pipeline`; every fault in it comes with file, line and column."""

import os
from pathlib import Path

from lastmile.errors import PipelineFileError
from lastmile.pipeline.checks import cross_faults
from lastmile.pipeline.definition import Pipeline
from lastmile.pipeline.document import Document
from lastmile.pipeline.faults import Fault
from lastmile.pipeline.problems import InvalidPipelineError, Problem, near_match
from lastmile.settings import Settings

__all__ = [
    "Document", "InvalidPipelineError", "Problem", "find_pipeline", "load_pipeline",
    "pipeline_files", "read_pipeline",
]  # fmt: skip


def pipeline_files(settings: Settings) -> list[Path]:
    """Return the pipeline files, sorted by name."""
    return sorted(settings.pipelines_path.glob("*.yaml"))


def find_pipeline(name_or_path: str, settings: Settings) -> Path:
    """Return the file of a pipeline that is named, or given by its path.

    Raises:
        PipelineFileError: There is no such pipeline; the hint names the nearest.
    """
    if name_or_path.endswith((".yaml", ".yml")):
        return Path(name_or_path)
    path = settings.pipelines_path / f"{name_or_path}.yaml"
    if path.is_file():
        return path
    names = [file.stem for file in pipeline_files(settings)]
    raise PipelineFileError(
        f"There is no pipeline {name_or_path!r} in {settings.pipelines_path}.",
        near_match(name_or_path, names) or "Set LASTMILE_ROOT to the checkout, or name the file.",
    )


def load_pipeline(name_or_path: str, settings: Settings) -> Pipeline:
    """Read a pipeline and fill in its environment references.

    What this takes, `read_pipeline` takes too: the file has to be right with and without them.

    Raises:
        PipelineFileError: No such file, or faults in it.
    """
    path = find_pipeline(name_or_path, settings)
    document = Document(path)
    pipeline = _validate(document, path)
    if not document.holds_references:
        return pipeline
    document.fill_in(os.environ)
    return _validate(document, path)


def read_pipeline(path: Path) -> Pipeline:
    """Read a pipeline as it stands, references and all. For whoever only wires it.

    Raises:
        PipelineFileError: No such file, or faults in it.
    """
    return _validate(Document(path), path)


def _validate(document: Document, path: Path) -> Pipeline:
    def check(pipeline: Pipeline) -> list[Fault]:
        return [*cross_faults(pipeline, path.stem)]

    return document.validate(Pipeline, check, strict=True)
