"""Reads what a run's stages left behind: their records, the verdict, the passport."""

import logging
import re
from typing import TYPE_CHECKING, TypeVar

from pydantic import ValidationError

from lastmile.artefacts.passport import Passport, Released
from lastmile.artefacts.verdict import Verdict
from lastmile.errors import ArtefactError, LastmileError
from lastmile.pipeline.base import Strict
from lastmile.run import Context, StageName, StageRecord, record_name
from lastmile.store import ArtefactRef, Store

if TYPE_CHECKING:
    from lastmile.settings import Settings
    from lastmile.team.events import Event

log = logging.getLogger(__name__)

Document = TypeVar("Document", bound=Strict)

REPORT = re.compile(r"artefacts/[0-9a-f]{64}/report\.html")
LARGEST_REPORT = 10_000_000
"""Trackers refuse larger files; ours are a few hundred kilobytes."""


def read_records(context: Context) -> dict[StageName, StageRecord]:
    """Return what the run's stages did, in order; a stage that was not done is left out."""
    names = {s: record_name(context.pipeline.name, context.run_id, s) for s in StageName}
    found = {s: context.store.read_document(name, StageRecord) for s, name in names.items()}
    return {stage: record for stage, record in found.items() if record is not None}


def read_verdict(context: Context) -> Verdict:
    """Return the run's verdict.

    Raises:
        PermanentError: There is none yet.
        ArtefactError: It is missing from the store, or altered.
    """
    return _read(context, context.record(StageName.EVALUATE).artefact, "verdict.json", Verdict)


def read_passport(context: Context, package: ArtefactRef) -> Passport:
    """Return the passport in a package.

    Raises:
        ArtefactError: It is missing from the store, or altered.
    """
    return _read(context, package, "passport.json", Passport)


def read_released(context: Context, deployed: ArtefactRef) -> Released:
    """Return how deploying ended.

    Raises:
        ArtefactError: It is missing from the store, or altered.
    """
    return _read(context, deployed, "release.json", Released)


def read_report(event: "Event", settings: "Settings") -> bytes | None:
    """Return the report that an event links to, or None where it links to none that can be read.

    Only out of the environment's own store: a link that somebody wrote is never followed.
    """
    prefix = settings.store.rstrip("/") + "/"
    link = event.links.get("Report", "")
    if not (link.startswith(prefix) and REPORT.fullmatch(link.removeprefix(prefix))):
        return None
    try:
        content = Store(settings.store, settings.home_path / "cache").read_bytes(
            link.removeprefix(prefix)
        )
    except LastmileError as error:
        log.warning("%s The ticket goes without its report.", error)
        return None
    return content if content is not None and len(content) <= LARGEST_REPORT else None


def _read(context: Context, ref: ArtefactRef, name: str, model: type[Document]) -> Document:
    try:
        content = (context.store.open_artefact(ref) / name).read_bytes()
        return model.model_validate_json(content)
    except (FileNotFoundError, ValidationError) as error:
        raise ArtefactError(
            f"{ref} holds no {name} of this Lastmile.", f"Do the stage {ref.kind} again."
        ) from error
