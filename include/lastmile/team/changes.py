"""What differs between the candidate and the last release: data, code, settings, libraries."""

from typing import Any

from lastmile.artefacts.dataset import Dataset, SourceRows
from lastmile.artefacts.passport import Passport
from lastmile.errors import LastmileError, PipelineFileError
from lastmile.ledger.ledger import Release
from lastmile.pipeline.load import find_pipeline, read_pipeline
from lastmile.run import Context
from lastmile.store import ArtefactRef
from lastmile.team.evidence import read_passport

SHOWN = 12
"""Characters of a digest that people compare."""


SERVED = frozenset({"serving", "superseded"})
"""Statuses of a release that went into service."""


def own_release(context: Context) -> Release | None:
    """Return the newest release that this run put into service."""
    return next((r for r in _served(context) if r.run_id == context.run_id), None)


def last_release(context: Context) -> Release | None:
    """Return the newest release that went into service before this run's own.

    A run may be told of late, when another has released already.
    """
    own = own_release(context)
    before = (r for r in _served(context) if r.run_id != context.run_id)
    return next((r for r in before if own is None or r.id < own.id), None)


def _served(context: Context) -> list[Release]:
    return [r for r in context.ledger.releases(context.pipeline.name) if r.status in SERVED]


def changes_since(
    context: Context, release: Release | None, dataset: Dataset, passport: Passport | None
) -> dict[str, str]:
    """Say what changed since a release: label and value, for an event's facts.

    Args:
        context: The run.
        release: The one to compare with; None before the first.
        dataset: This run's.
        passport: This run's; None where it was not packaged. Then data and settings alone are compared.
    """
    if release is None:
        return {"Changed": "everything: this is the pipeline's first model"}
    label = f"Changed since version {release.version}"
    try:
        before = read_passport(context, ArtefactRef(kind="package", digest=release.candidate))
    except LastmileError as error:
        return {label: f"unknown: {error.headline}"}
    definition = passport.definition if passport else _definition(context)
    found = [*_data(before.sources, dataset.sources), *_settings(before.definition, definition)]
    if passport is not None:
        found += _code(before, passport)
    return {label: "; ".join(found) or "nothing that the passport knows of"}


def _data(before: tuple[SourceRows, ...], now: tuple[SourceRows, ...]) -> list[str]:
    old, new = {s.name: s for s in before}, {s.name: s for s in now}
    said = [f"source {name} is new" for name in new if name not in old]
    said += [f"source {name} is gone" for name in old if name not in new]
    said += [
        f"data of {name}: {old[name].rows} rows {_short(old[name].digest)}"
        f" → {new[name].rows} rows {_short(new[name].digest)}"
        for name in new
        if name in old and new[name].digest != old[name].digest
    ]
    return said


def _definition(context: Context) -> dict[str, Any]:
    """Return the pipeline as its file says it, as a passport does: references are not filled in."""
    try:
        pipeline = read_pipeline(find_pipeline(context.pipeline.name, context.settings))
    except PipelineFileError:
        pipeline = context.pipeline
    return pipeline.model_dump(mode="json")


def _settings(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    changed = _differing(before, now)
    return [f"settings: {', '.join(changed)}"] if changed else []


def _code(before: Passport, now: Passport) -> list[str]:
    said = []
    if before.code != now.code:
        commit = f" (commit {now.commit[:SHOWN]})" if now.commit else ""
        said.append(f"code: {_short(before.code)} → {_short(now.code)}{commit}")
    libraries = [
        f"{name} {before.libraries.get(name, 'none')} → {version}"
        for name, version in now.libraries.items()
        if before.libraries.get(name) != version
    ]
    return said + ([f"libraries: {', '.join(libraries)}"] if libraries else [])


def _differing(before: Any, now: Any, where: str = "") -> list[str]:
    """Name the keys whose values differ, as `train.epochs 50 → 80`."""
    if isinstance(before, dict) and isinstance(now, dict):
        keys = [*now, *(key for key in before if key not in now)]
        inner = [
            _differing(before.get(key), now.get(key), f"{where}.{key}" if where else str(key))
            for key in keys
        ]
        return [line for lines in inner for line in lines]
    if before == now:
        return []
    if all(isinstance(side, int | float | str | bool | None) for side in (before, now)):
        return [f"{where} {before} → {now}"]
    return [where]


def _short(digest: str) -> str:
    return digest[:SHOWN]
