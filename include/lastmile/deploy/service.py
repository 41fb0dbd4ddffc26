"""The served model from outside a run: bring it up, take it down, look at it, ask it, go back."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import Field, ValidationError

from lastmile.artefacts.passport import Candidate, Passport, Released
from lastmile.clients.mlflow import Tracking
from lastmile.deploy.endpoint import Endpoint
from lastmile.deploy.history import ROLLBACK, SERVED, History
from lastmile.deploy.process import ProcessTarget, read_pointer, serve_folder
from lastmile.deploy.rollout import Deployment, Origin, restore, roll_out, settle
from lastmile.deploy.server import ServerProcess
from lastmile.deploy.target import Patience
from lastmile.errors import ArtefactError, ExitCode, PermanentError, ServiceUnavailableError
from lastmile.ledger.ledger import Ledger, Release
from lastmile.pipeline.base import Strict
from lastmile.settings import Settings
from lastmile.store import ArtefactRef, Store, file_digest


class Served(Strict):
    """What answers for a pipeline on this machine."""

    pipeline: str
    state: Literal["ready", "not ready", "down", "never released"]
    version: int | None = None
    release: int | None = None
    address: str | None = None
    pid: int | None = None
    problem: str | None = None
    """Why the release that was last put in service does not answer; None where it does."""
    exit_code: ExitCode | None = None
    """Of the error that this problem is; None where the server itself reports it."""


@contextmanager
def open_deployment(
    pipeline: str,
    settings: Settings,
    store: Store,
    ledger: Ledger,
    patience: Patience | None = None,
    keeps_settings: bool = False,
) -> Iterator[Deployment]:
    """Hold a pipeline's service: nobody else deploys, rolls back, starts or stops it meanwhile.

    Args:
        pipeline: Its name.
        settings: The environment's.
        store: Where bundles come from.
        ledger: Where releases are kept.
        patience: Deadlines.
        keeps_settings: Leave a server that runs set up as it was started.

    Raises:
        BusyError: Somebody does.
    """
    patience = patience or Patience()
    with ledger.lease(f"deploy:{pipeline}", f"The service of {pipeline}"):
        yield Deployment(
            pipeline=pipeline,
            target=ProcessTarget(pipeline, settings, store, patience, keeps_settings),
            ledger=ledger,
            registry=Tracking(settings.mlflow, settings.home_path),
            patience=patience,
        )


def bring_up(pipeline: str, settings: Settings, store: Store, ledger: Ledger) -> Served:
    """See that the champion answers, as after a reboot; without one there is nothing to do.

    Raises:
        BusyError: A deploy is at it.
        DeployError: It does not answer.
    """
    with open_deployment(pipeline, settings, store, ledger, keeps_settings=True) as at:
        champion = settle(at)
        if champion is not None:
            restore(at, champion)
    return served(pipeline, settings)


def take_down(pipeline: str, settings: Settings, store: Store, ledger: Ledger) -> Served:
    """End the pipeline's servers; `bring_up` brings the same release back.

    Raises:
        BusyError: A deploy is at it.
    """
    with ledger.lease(f"deploy:{pipeline}", f"The service of {pipeline}"):
        ProcessTarget(pipeline, settings, store).stop()
    return served(pipeline, settings)


def served(pipeline: str, settings: Settings) -> Served:
    """Look at the pipeline's server; changes nothing."""
    server = ServerProcess(serve_folder(pipeline, settings))
    assigned, record = read_pointer(server.pointer), server.record()
    if assigned is None and not server.pointer.exists():
        return Served(pipeline=pipeline, state="never released")
    process = server.process()
    endpoint = Endpoint(record.host, record.port) if record is not None else None
    ready = endpoint.readiness() if endpoint is not None and process is not None else None
    problem = ready.problem if ready else None
    if assigned is None:
        problem = problem or f"The pointer {server.pointer} cannot be read."
    is_ready = ready is not None and ready.is_ready
    return Served(
        pipeline=pipeline,
        state="down" if process is None else "ready" if is_ready else "not ready",
        version=ready.version if ready and is_ready else assigned.version if assigned else None,
        release=ready.release if ready and is_ready else assigned.release if assigned else None,
        address=endpoint.address if endpoint is not None else None,
        pid=process.pid if process is not None else None,
        problem=problem,
    )


def reach(pipeline: str, settings: Settings) -> Endpoint:
    """Return where the served model can be asked.

    Raises:
        PermanentError: No model of this pipeline has been released here.
        ServiceUnavailableError: The server does not run.
    """
    now = served(pipeline, settings)
    if now.state == "never released":
        raise PermanentError(
            f"No model of {pipeline} has been released on this machine.",
            f"Release one: lastmile run {pipeline}",
        )
    record = ServerProcess(serve_folder(pipeline, settings)).record()
    if now.state == "down" or record is None:
        why = f" {now.problem}" if now.problem else ""
        raise ServiceUnavailableError(
            f"The server of {pipeline} at {now.address or 'an unknown address'} does not run.{why}",
            f"Bring it back: lastmile serve {pipeline}",
        )
    return Endpoint(record.host, record.port)


def ask(pipeline: str, records: Sequence[Any], settings: Settings) -> dict[str, Any]:
    """Ask the served model; return its name and version, its address and the predictions.

    Raises:
        PermanentError: No model of this pipeline has been released here.
        DataError: The model refuses a record; says which.
        ServiceUnavailableError: The server does not run or answer.
    """
    endpoint = reach(pipeline, settings)
    answer = endpoint.predict(records)
    return {
        "model": answer["model"],
        "version": answer["version"],
        "address": endpoint.address,
        "predictions": answer["predictions"],
    }


def rollback(
    pipeline: str,
    settings: Settings,
    store: Store,
    ledger: Ledger,
    *,
    to_version: int | None = None,
    reason: str = "",
    requested_by: str = "",
    patience: Patience | None = None,
) -> Released:
    """Put an earlier release back into service, tried out like any other.

    Raises:
        PermanentError: There is no such release.
        BusyError: A deploy is at it.
        ArtefactError: Its bundle or its golden predictions are missing or altered.
        DeployError: It did not go into service; the champion still answers.
    """
    with open_deployment(pipeline, settings, store, ledger, patience) as at:
        champion = settle(at)
        releases = ledger.releases(pipeline)
        goal = _earlier(pipeline, releases, champion, to_version)
        assert champion is not None  # noqa: S101 - else there is no earlier one
        way = "back" if goal.version < champion.version else "forward"
        origin = Origin(
            package=goal.candidate,
            run_id=f"{ROLLBACK}{datetime.now(UTC):%Y-%m-%dT%H:%M:%S}",
            reason=f"went {way} from version {champion.version}"
            + (f": {reason}" if reason else ""),
            requested_by=requested_by,
        )
        done = roll_out(at, read_candidate(store, goal.candidate), origin, champion)
        said = f"Went {way} to version {done.version} from version {champion.version}"
        return done.model_copy(update={"reason": f"{said}; it answers at {done.address}."})


class Explained(Passport):
    """A passport, and how its version went into service."""

    in_service: Release = Field(exclude=True)
    """Since when, and its reason: by whom and why. The JSON document is the passport alone."""


def explain(
    pipeline: str, store: Store, ledger: Ledger, *, version: int | None = None
) -> Explained:
    """Return the passport of a version that served, of the champion where none is named.

    Raises:
        PermanentError: No such version has served.
        ArtefactError: Its passport is missing or altered.
    """
    releases = [release for release in ledger.releases(pipeline) if release.status in SERVED]
    found = next(
        (
            r
            for r in releases
            if r.version == version or (version is None and r.status == "serving")
        ),
        None,
    )
    if found is None:
        raise _no_such_version(pipeline, releases, version)
    candidate = read_candidate(store, found.candidate)
    path = (
        store.open_artefact(ArtefactRef(kind="package", digest=found.candidate)) / "passport.json"
    )
    if file_digest(path) != candidate.passport:
        raise ArtefactError(
            f"The passport of {pipeline} version {found.version} is not the candidate's.",
            "The package was not made by this version of Lastmile; package the run again.",
        )
    passport = Passport.model_validate_json(path.read_bytes())
    return Explained(**dict(passport), in_service=found)


def read_candidate(store: Store, digest: str) -> Candidate:
    """Read the candidate of a package artefact, every byte verified.

    Raises:
        ArtefactError: It is missing or altered.
    """
    ref = ArtefactRef(kind="package", digest=digest)
    folder = store.open_artefact(ref)
    try:
        return Candidate.model_validate_json((folder / "candidate.json").read_bytes())
    except (OSError, ValidationError) as error:
        raise ArtefactError(
            f"{ref} holds no candidate that this version of Lastmile can read.",
            "Package the run again, with --force.",
        ) from error


def _earlier(
    pipeline: str, releases: Sequence[Release], champion: Release | None, version: int | None
) -> Release:
    if champion is None or version is None:
        goal = History.of(releases).previous
    elif version == champion.version:
        raise PermanentError(
            f"Version {version} of {pipeline} serves already.", "There is nothing to go back from."
        )
    else:
        has_served = [r for r in releases if r.status in SERVED]
        goal = next((r for r in has_served if r.version == version), None)
    if champion is None or goal is None:
        raise _no_such_version(pipeline, releases, version, champion)
    return goal


def _no_such_version(
    pipeline: str,
    releases: Sequence[Release],
    version: int | None,
    champion: Release | None = None,
) -> PermanentError:
    known = sorted({release.version for release in releases if release.status in SERVED})
    if not known:
        return PermanentError(
            f"{pipeline} has not been released yet.", f"Release a model: lastmile run {pipeline}"
        )
    listed = ", ".join(map(str, known))
    if version is None:
        now = f"version {champion.version}" if champion else "none"
        return PermanentError(
            f"No release of {pipeline} is earlier than the one that serves, {now}.",
            f"Versions that have served: {listed}. Name one with --version.",
        )
    return PermanentError(
        f"Version {version} of {pipeline} has never served.",
        f"Versions that have served: {listed}.",
    )
