"""The milestones that other people's DAGs may be scheduled on.

    from airflow.sdk import DAG, Asset
    DAG("refresh_dashboard", schedule=[Asset("credit_risk_released", "lastmile://credit_risk/released")])

An event comes only when it is true: a task that is skipped or fails publishes none.
"""

from airflow.sdk import Asset

GROUP = "lastmile"


def dataset_ready(pipeline: str) -> Asset:
    """A cleaned, split dataset is in the store; its digest is in the event's extra."""
    return _milestone(pipeline, "dataset")


def model_approved(pipeline: str) -> Asset:
    """The verdict is PROMOTE and the run may release; the bundle's digest is in the event's extra."""
    return _milestone(pipeline, "approved")


def model_released(pipeline: str) -> Asset:
    """A new version answers; its version and address are in the event's extra."""
    return _milestone(pipeline, "released")


def _milestone(pipeline: str, what: str) -> Asset:
    return Asset(name=f"{pipeline}_{what}", uri=f"lastmile://{pipeline}/{what}", group=GROUP)
