"""Reads the team file, with every fault at its line and column as in a pipeline file."""

import logging
from datetime import UTC, date, datetime
from functools import lru_cache
from pathlib import Path

from lastmile.errors import PipelineFileError
from lastmile.pipeline.load import Document, InvalidPipelineError, Problem
from lastmile.settings import Settings
from lastmile.team.rules import TeamRules

log = logging.getLogger(__name__)


def team_file(settings: Settings) -> Path:
    """Return where the team file is, or would be."""
    return settings.root / "include" / "team.yaml"


def load_rules(settings: Settings) -> TeamRules:
    """Read the team file; without one all is as by default.

    Raises:
        PipelineFileError: It has faults.
    """
    path = team_file(settings)
    try:
        changed = path.stat().st_mtime_ns
    except FileNotFoundError:
        return TeamRules()
    except OSError as error:
        raise PipelineFileError(f"{path} cannot be read: {error}") from error
    return _read(path, changed)


@lru_cache(maxsize=4)
def _read(path: Path, _changed: int) -> TeamRules:
    return Document(path).validate(TeamRules)


def rules_or_default(settings: Settings) -> TeamRules:
    """Read the team file; where it has faults, say so and go on as by default: nothing goes untold."""
    try:
        return load_rules(settings)
    except PipelineFileError as error:
        log.error("%s The team is told as if there were no such file.", error)
        return TeamRules()


def check_rules(settings: Settings, today: date | None = None) -> list[Problem]:
    """Return every fault of the team file, also what has become one: a silence that is over.

    Raises:
        PipelineFileError: It cannot be read at all.
    """
    path = team_file(settings)
    if not path.is_file():
        return []
    try:
        document = Document(path)
        rules = document.validate(TeamRules)
    except InvalidPipelineError as error:
        return error.problems
    return [document.problem(*fault) for fault in rules.faults(today or datetime.now(UTC).date())]
