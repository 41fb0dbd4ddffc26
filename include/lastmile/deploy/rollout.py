"""The rollout: try the candidate beside the champion, switch, and go back if anything is wrong.

What the target was told is the one truth about which release answers; the ledger follows it. A deploy
that was killed is therefore settled by whoever comes next: before the switch nothing has happened, after
it the release is completed.
"""

import logging
from dataclasses import dataclass, field

from lastmile.artefacts.passport import Candidate, Released, SmokeResult
from lastmile.clients.mlflow import Tracking
from lastmile.deploy.history import SERVED, History
from lastmile.deploy.smoke import smoke_test
from lastmile.deploy.target import Assignment, Patience, Target
from lastmile.errors import DeployError, LastmileError, PermanentError, ServiceUnavailableError
from lastmile.ledger.ledger import Ledger, Release

log = logging.getLogger(__name__)

CHAMPION = "champion"
"""The alias in the registry."""
KEPT = 5
"""Bundles of so many steps of the way back are kept on the serving machine."""


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """One pipeline's service, and what must know about it. Used while the lease is held."""

    pipeline: str
    target: Target
    ledger: Ledger
    registry: Tracking
    patience: Patience = field(default_factory=Patience)


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where a release comes from."""

    package: str
    """Digest of the artefact that holds the candidate."""
    run_id: str
    reason: str
    requested_by: str = ""

    @property
    def told(self) -> str:
        """Who put the release in service, and why, as the ledger keeps it."""
        return ": ".join(part for part in (_by(self.requested_by), self.reason) if part)


def deploy(at: Deployment, candidate: Candidate, origin: Origin, force: bool) -> Released:
    """Put a candidate into service, unless there is nothing to do.

    Args:
        at: The service.
        candidate: What a run packaged.
        origin: Which run.
        force: Also release what a person has taken back.

    Raises:
        PermanentError: The verdict compared with another champion than the one that serves.
        DeployError: The candidate did not go into service; the champion still answers.
    """
    champion = settle(at)
    if champion is not None and champion.bundle == candidate.bundle:
        if (champion.run_id, champion.candidate) == (origin.run_id, origin.package):
            return _released_before(at, champion)
        return _unchanged(at, champion)
    if candidate.bundle in History.of(at.ledger.releases(at.pipeline)).taken_back and not force:
        return _taken_back(at, candidate, champion)
    serving = champion.bundle if champion is not None else None
    if candidate.champion != serving:
        raise PermanentError(
            f"The verdict compared with champion {(candidate.champion or 'none')[:12]}, but "
            f"{(serving or 'none')[:12]} serves now.",
            "Run again with the same run id: it evaluates against the champion of today.",
        )
    return roll_out(at, candidate, origin, champion)


def roll_out(
    at: Deployment, candidate: Candidate, origin: Origin, champion: Release | None
) -> Released:
    """Try a candidate, switch to it, and write it down.

    Raises:
        DeployError: The candidate did not go into service; the champion still answers.
    """
    at.target.check()
    release = at.ledger.add_release(
        pipeline=at.pipeline,
        version=candidate.version,
        bundle=candidate.bundle,
        candidate=origin.package,
        run_id=origin.run_id,
        target=at.target.name,
        status="deploying",
        reason=origin.told,
    )
    assignment = Assignment(at.pipeline, candidate.version, release, candidate.bundle)
    try:
        smoke = _try_out(at, assignment, candidate)
        at.target.switch(assignment)
        address = at.target.wait_for(assignment)
    except Exception as error:
        still = _go_back(at, assignment, champion, error)
        if isinstance(error, DeployError):
            raise DeployError(
                f"Version {candidate.version} did not go into service. {error.headline} {still}",
                error.hint,
            ) from error
        raise
    _write_down(at, assignment, address)
    _tidy(at)
    return Released(
        pipeline=at.pipeline,
        version=candidate.version,
        bundle=candidate.bundle,
        released=True,
        reason=f"Version {candidate.version} answers at {address}.",
        release=release,
        address=address,
        previous=champion.version if champion is not None else None,
        smoke=smoke,
    )


def settle(at: Deployment) -> Release | None:
    """Bring ledger and target together after a deploy that was cut off; return the champion."""
    for release in at.ledger.releases(at.pipeline):
        if release.status == "deploying":
            _settle(at, release)
    _tidy(at)
    return at.ledger.champion(at.pipeline)


def restore(at: Deployment, champion: Release) -> str:
    """See that the champion answers, starting its server where need be; return its address.

    Raises:
        DeployError: It does not answer.
    """
    assignment = assignment_of(champion)
    at.target.switch(assignment)
    return at.target.wait_for(assignment)


def assignment_of(release: Release) -> Assignment:
    """Return what the target is told to serve a release."""
    return Assignment(release.pipeline, release.version, release.id, release.bundle)


def _by(person: str) -> str:
    return f"by {person}" if person else ""


def _settle(at: Deployment, release: Release) -> None:
    assignment = assignment_of(release)
    if at.target.assigned() != assignment:
        at.ledger.set_failed(release.id, "Deploying was cut off before the switch.")
        return
    log.warning("A deploy was cut off after its switch; version %d is completed.", release.version)
    try:
        at.target.switch(assignment)
        address = at.target.wait_for(assignment)
    except LastmileError as error:
        champion = at.ledger.champion(at.pipeline)
        log.warning("%s %s", error.headline, _go_back(at, assignment, champion, error))
        if champion is not None:  # it may have been cut off after the registry was told
            _tell_registry(at, champion.version)
        return
    _write_down(at, assignment, address)


def _try_out(at: Deployment, assignment: Assignment, candidate: Candidate) -> SmokeResult:
    with at.target.preview(assignment) as endpoint:
        return smoke_test(endpoint, assignment, candidate.golden, at.patience.smoke)


def _write_down(at: Deployment, assignment: Assignment, address: str) -> None:
    """Tell the registry, then the ledger: with its row the release is complete."""
    _tell_registry(at, assignment.version)
    at.ledger.set_serving(assignment.release, address)


def _tell_registry(at: Deployment, version: int) -> None:
    try:
        at.registry.set_alias(at.pipeline, CHAMPION, version)
    except ServiceUnavailableError as error:  # the model answers; a later release sets the alias
        log.warning("%s %s", error.headline, error.hint)


def _go_back(
    at: Deployment, assignment: Assignment, champion: Release | None, error: Exception
) -> str:
    """Undo what was done of a release; return a sentence that says who answers now."""
    try:
        if champion is not None:
            restore(at, champion)
        elif at.target.assigned() == assignment:
            at.target.withdraw()
        still = "" if champion is None else f"Version {champion.version} still answers."
    except LastmileError as second:
        log.error("Going back failed, too: %s %s", second.headline, second.hint)
        still = f"Nor does the version before: {second.headline}"
    try:
        at.ledger.set_failed(assignment.release, str(error))
        _tidy(at)
    except LastmileError as second:  # whoever comes next sees that the release was not switched to
        log.warning("Not written down that version %d failed: %s", assignment.version, second)
    return still


def _released_before(at: Deployment, champion: Release) -> Released:
    """Answer a run that was cut off after its release: it did release, and is to say so."""
    address, way = restore(at, champion), History.of(at.ledger.releases(at.pipeline))
    return Released(
        pipeline=champion.pipeline,
        version=champion.version,
        bundle=champion.bundle,
        released=True,
        reason=f"Version {champion.version} answers at {address}; an earlier try of this run released it.",
        release=champion.id,
        address=address,
        previous=way.previous.version if way.previous is not None else None,
        smoke=None,
    )


def _unchanged(at: Deployment, champion: Release) -> Released:
    address = restore(at, champion)
    return _nothing_released(
        champion, address, f"Nothing has changed: version {champion.version} serves already."
    )


def _taken_back(at: Deployment, candidate: Candidate, champion: Release | None) -> Released:
    assert champion is not None  # noqa: S101 - what was taken back was taken back to something
    return _nothing_released(
        champion,
        restore(at, champion),
        f"Version {candidate.version} was taken back by hand and is not released again by itself; "
        f"version {champion.version} answers.",
    )


def _nothing_released(champion: Release, address: str, reason: str) -> Released:
    return Released(
        pipeline=champion.pipeline,
        version=champion.version,
        bundle=champion.bundle,
        released=False,
        reason=reason,
        release=champion.id,
        address=address,
        previous=None,
        smoke=None,
    )


def _tidy(at: Deployment) -> None:
    """Clear up behind a deploy. What cannot be, the next one clears: a release does not fail of it."""
    releases = at.ledger.releases(at.pipeline)
    served = [release.bundle for release in releases if release.status in SERVED]
    way = [release.bundle for release in reversed(History.of(releases).way)]
    try:
        at.target.tidy({*way[:KEPT], *served[:KEPT]})
    except LastmileError as error:
        log.warning("Not cleared up: %s %s", error.headline, error.hint)
