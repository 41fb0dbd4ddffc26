"""The stage: a release candidate into service."""

from pathlib import Path
from typing import Any, ClassVar

from lastmile.deploy.rollout import Origin, deploy
from lastmile.deploy.service import open_deployment, read_candidate
from lastmile.run import Context, Produced, StageName


class Stage:
    """Acts on the world, so that its result is never taken over; it sees itself what is done already."""

    code: ClassVar[tuple[str, ...]] = ("deploy",)
    libraries: ClassVar[tuple[str, ...]] = ()
    reusable: ClassVar[bool] = False

    def inputs(self, context: Context, scratch: Path) -> Any:
        """The candidate, and where it is to be served."""
        return {
            "pipeline": context.pipeline.name,
            "package": context.record(StageName.PACKAGE).artefact.digest,
            "target": context.settings.target,
        }

    def execute(self, context: Context, scratch: Path, out: Path) -> Produced:
        """Try the candidate out, switch to it, or leave things as they are and say why.

        Raises:
            BusyError: Somebody else deploys this pipeline.
            DeployError: The candidate did not go into service; the champion still answers.
        """
        package = context.record(StageName.PACKAGE).artefact
        candidate = read_candidate(context.store, package.digest)
        origin = Origin(
            package=package.digest,
            run_id=context.run_id,
            reason=context.options.reason,
            requested_by=context.options.requested_by,
        )
        with open_deployment(
            context.pipeline.name, context.settings, context.store, context.ledger
        ) as at:
            outcome = deploy(at, candidate, origin, context.options.force)
        (out / "release.json").write_text(outcome.model_dump_json(indent=1))
        return Produced(
            summary={
                "released": outcome.released,
                "version": outcome.version,
                "address": outcome.address,
                "reason": outcome.reason,
                "median ms": outcome.smoke.median_ms if outcome.smoke else None,
            }
        )
