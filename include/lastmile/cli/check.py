"""`lastmile check`."""

from pathlib import Path

from lastmile.errors import PipelineFileError
from lastmile.pipeline.base import Strict
from lastmile.pipeline.load import (
    InvalidPipelineError,
    Problem,
    find_pipeline,
    load_pipeline,
    pipeline_files,
)
from lastmile.settings import Settings


class Checked(Strict):
    """What checking found."""

    files: tuple[str, ...]
    problems: tuple[Problem, ...]


def check_pipelines(names: list[str], settings: Settings) -> Checked:
    """Check the named pipelines, or all there are, and the team file. One that cannot be read hides no other.

    Raises:
        PipelineFileError: There is none at all.
    """
    wanted = names or [str(file) for file in pipeline_files(settings)]
    if not wanted:
        raise PipelineFileError(
            f"There are no pipeline files in {settings.pipelines_path}.",
            "Set LASTMILE_ROOT to the checkout, or run `lastmile` there.",
        )
    problems = [problem for name in wanted for problem in _problems_of(name, settings)]
    problems += _problems_of_team(settings)
    return Checked(
        files=tuple(str(_file_of(name, settings)) for name in wanted), problems=tuple(problems)
    )


def _problems_of_team(settings: Settings) -> list[Problem]:
    from lastmile.team.load import check_rules, team_file

    try:
        return check_rules(settings)
    except PipelineFileError as error:
        file = str(team_file(settings))
        return [Problem(file=file, line=1, column=1, message=error.headline, hint=error.hint)]


def _problems_of(name: str, settings: Settings) -> list[Problem]:
    try:
        load_pipeline(name, settings)
    except InvalidPipelineError as error:
        return error.problems
    except PipelineFileError as error:
        file = str(_file_of(name, settings))
        return [Problem(file=file, line=1, column=1, message=error.headline, hint=error.hint)]
    return []


def _file_of(name: str, settings: Settings) -> Path:
    """Return the file of a pipeline, or where it would be."""
    try:
        return find_pipeline(name, settings)
    except PipelineFileError:
        return settings.pipelines_path / f"{name}.yaml"
