"""What packaging and deploying hand on: passport, candidate, release.

The passport keeps promise 6 of the design: which data, code, settings, person and run made the model.
"""

from typing import Any

from lastmile.artefacts.dataset import SourceRows
from lastmile.artefacts.verdict import Decision, Golden, Metric
from lastmile.pipeline.base import Strict


class Passport(Strict):
    """`passport.json`, the one file besides `candidate.json` of what packaging hands on."""

    pipeline: str
    version: int
    """The model's version in the registry."""
    bundle: str
    """Digest of the bundle artefact."""
    files: dict[str, str]
    """SHA-256 of each file of the bundle."""
    dataset: str
    verdict: str
    """Digest of the verdict artefact."""
    decision: Decision
    metrics: tuple[Metric, ...]
    sources: tuple[SourceRows, ...]
    rows: dict[str, int]
    definition: dict[str, Any]
    """The pipeline file as it was, environment references not filled in."""
    code: str
    """Digest of the stages' source code."""
    commit: str | None
    """Git commit of the checkout; None outside one. `-dirty` where files differed from it."""
    libraries: dict[str, str]
    """Version of each library that shaped the model."""
    run_id: str
    requested_by: str
    """Who or what started the run."""
    reason: str
    created_at: str
    """ISO 8601, UTC."""


class Candidate(Strict):
    """`candidate.json`: what deploying needs to put a model into service."""

    pipeline: str
    version: int
    """In the registry."""
    bundle: str
    """Digest of the bundle artefact."""
    passport: str
    """SHA-256 of `passport.json`."""
    champion: str | None
    """Digest of the champion's bundle that the verdict compared with; None without one. The verdict
    says nothing about another champion."""
    golden: Golden
    """What the served model must answer."""


class SmokeResult(Strict):
    """What the smoke test saw."""

    records: int
    largest_difference: float
    """From the golden answers; a number beyond 1 counts by its share."""
    median_ms: float
    """Of single records, one request each."""
    slowest_ms: float


class Released(Strict):
    """`release.json`: how deploying ended."""

    pipeline: str
    version: int
    bundle: str
    released: bool
    """False where nothing was to be done."""
    reason: str
    """A sentence."""
    release: int | None
    """Its number in the ledger; of the release that serves where nothing was to be done."""
    address: str | None
    previous: int | None
    """The version that served before."""
    smoke: SmokeResult | None
    """None where nothing was released."""
