"""`lastmile releases`, `explain` and `rollback`: what was put in service, why, and the way back."""

import getpass

from lastmile.artefacts.passport import Released
from lastmile.cli.edge import open_ledger, open_store
from lastmile.deploy import service
from lastmile.deploy.service import Explained
from lastmile.ledger.ledger import Release
from lastmile.pipeline.base import Strict
from lastmile.pipeline.load import load_pipeline
from lastmile.settings import Settings


class ReleaseList(Strict):
    """A pipeline's releases, newest first."""

    pipeline: str
    releases: tuple[Release, ...]


def list_releases(pipeline: str, settings: Settings) -> ReleaseList:
    """Return what was put in service, and what was tried in vain.

    Raises:
        PipelineFileError: There is no such pipeline.
    """
    name = load_pipeline(pipeline, settings).name
    return ReleaseList(pipeline=name, releases=tuple(open_ledger(settings).releases(name)))


def find_passport(pipeline: str, version: int | None, settings: Settings) -> Explained:
    """Return the passport of a version that has served; the champion's where none is named.

    Raises:
        PermanentError: There is no such pipeline or version.
        ArtefactError: The passport is missing or altered.
    """
    name = load_pipeline(pipeline, settings).name
    return service.explain(name, open_store(settings), open_ledger(settings), version=version)


def roll_back(
    pipeline: str, version: int | None, reason: str, requested_by: str, settings: Settings
) -> Released:
    """Put an earlier release back into service; the one before where no version is named.

    Raises:
        PermanentError: There is no such pipeline or release.
        BusyError: A deploy is at it.
        DeployError: It did not pass its smoke test; the champion still answers.
    """
    name = load_pipeline(pipeline, settings).name
    store, ledger = open_store(settings), open_ledger(settings)
    return service.rollback(
        name,
        settings,
        store,
        ledger,
        to_version=version,
        reason=reason,
        requested_by=requested_by or getpass.getuser(),
    )
