"""The errors of Lastmile, and the one table that maps them to exit codes.

An error says two things: the headline, what happened, with the values; the hint, what to do.
Airflow and HTTP have their own tables (`lastmile_airflow.failures`, `lastmile.serve.errors`).
"""

from enum import IntEnum


class ExitCode(IntEnum):
    """What the `lastmile` command, and a stage's process or pod, ends with."""

    DONE = 0
    BUG = 1
    WRONG_INPUT = 2
    """The input, the settings or the pipeline file are wrong: a retry would fail the same way."""
    REJECTED = 3
    NEEDS_HUMAN = 4
    TRANSIENT = 75
    """EX_TEMPFAIL of sysexits.h: try again later."""


class LastmileError(Exception):
    """Something that Lastmile foresaw. `str(error)` is the headline."""

    exit_code = ExitCode.BUG

    def __init__(self, headline: str, hint: str = "") -> None:
        super().__init__(headline)
        self.headline = headline
        self.hint = hint


class PermanentError(LastmileError):
    """Fails now: the same input would fail again."""

    exit_code = ExitCode.WRONG_INPUT


class TransientError(LastmileError):
    """Worth a retry: the cause may pass by itself."""

    exit_code = ExitCode.TRANSIENT


class PipelineFileError(PermanentError):
    """A pipeline file is missing, is no YAML, or breaks the schema."""


class SettingsError(PermanentError):
    """The environment's settings are wrong or incomplete."""


class DataError(PermanentError):
    """The data breaks its contract, or cannot be read as declared."""


class ArtefactError(PermanentError):
    """An artefact is missing, incomplete, or is not what its digest says."""


class StoreError(TransientError):
    """The store cannot be read or written just now."""


class BusyError(TransientError):
    """Somebody else holds what this run needs: the same run, or the same target."""


class TrainingError(PermanentError):
    """Training ended without a usable model."""


class GangError(TransientError):
    """The gang lost a worker more often than it may restart, or never came together."""


class DeployError(PermanentError):
    """The candidate did not go into service; the champion still answers."""


class ServiceUnavailableError(TransientError):
    """An outside system does not answer, or says that it cannot serve now."""
