"""A failure in Airflow as the team's event."""

from typing import TYPE_CHECKING

from lastmile.errors import LastmileError

if TYPE_CHECKING:
    from lastmile.pipeline.definition import Pipeline
    from lastmile.settings import Settings
    from lastmile.team.events import Event


def failure_event(
    settings: "Settings",
    dag_id: str,
    run_id: str,
    step: str,
    error: BaseException | None,
    owner: str,
    log_url: str = "",
) -> "Event":
    """Return the event of a failed step, with the team that the pipeline file names.

    A broken pipeline and a house-keeping DAG have no team of their own: the owner is told, through the
    console and the ledger.
    """
    from lastmile.team.events import Event, Kind
    from lastmile.team.record import stage_failure

    links = {"Log": log_url} if log_url else {}
    pipeline = _pipeline(settings, dag_id)
    if pipeline is not None:
        return stage_failure(pipeline, run_id, step, error, links)
    headline = str(error).strip() if error is not None else f"{step} ended without a word."
    return Event(
        kind=Kind.FAILURE,
        pipeline=dag_id,
        run_id=run_id,
        stage=step,
        error_class="" if error is None else type(error).__name__,
        headline=headline,
        hint=getattr(error, "hint", "") or "See the task's log.",
        links=links,
        owner=owner,
    )


def _pipeline(settings: "Settings", name: str) -> "Pipeline | None":
    from lastmile.pipeline.load import read_pipeline

    try:
        return read_pipeline(settings.pipelines_path / f"{name}.yaml")
    except LastmileError:
        return None
