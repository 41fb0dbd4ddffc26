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
    """Check the named pipelines, or all there are, and the team file.

    Raises:
        PipelineFileError: There is none, or one that is named does not exist.
    """
    files = [find_pipeline(name, settings) for name in names] or pipeline_files(settings)
    if not files:
        raise PipelineFileError(
            f"There are no pipeline files in {settings.pipelines_path}.",
            "Set LASTMILE_ROOT to the checkout, or run `lastmile` there.",
        )
    problems = [problem for file in files for problem in _problems_of(file, settings)]
    problems += _problems_of_team(settings)
    return Checked(files=tuple(str(file) for file in files), problems=tuple(problems))


def _problems_of_team(settings: Settings) -> list[Problem]:
    from lastmile.team.load import check_rules, team_file

    try:
        return check_rules(settings)
    except PipelineFileError as error:
        file = str(team_file(settings))
        return [Problem(file=file, line=1, column=1, message=error.headline, hint=error.hint)]


def _problems_of(file: Path, settings: Settings) -> list[Problem]:
    try:
        load_pipeline(str(file), settings)
    except InvalidPipelineError as error:
        return error.problems
    return []
