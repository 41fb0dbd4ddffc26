"""The trigger form, and what it comes to as options of the run."""

from collections.abc import Mapping
from typing import Any

from airflow.sdk import Param
from pydantic import ValidationError

from lastmile.errors import SettingsError
from lastmile.run import RunOptions
from lastmile.settings import MOST_WORKERS


def run_params() -> dict[str, Param]:
    """Return the fields of the trigger form; each DAG needs its own."""
    return {
        "workers": Param(
            None,
            type=["null", "integer"],
            minimum=1,
            maximum=MOST_WORKERS,
            title="Workers",
            description="How many workers train together. Empty: as this environment is set. "
            "Any number gives the same model, up to rounding.",
        ),
        "force": Param(
            False,
            type="boolean",
            title="Force retraining",
            description="Do every stage anew, even where nothing that it reads has changed.",
        ),
        "dry_run": Param(
            False,
            type="boolean",
            title="Dry run",
            description="Prepare, train and judge the candidate, but package and release nothing.",
        ),
        "reason": Param(
            None,  # the form would call an empty text an error
            type=["null", "string"],
            maxLength=500,
            title="Reason",
            description="Why you start this run. It goes into the model's passport.",
        ),
    }


def run_options(params: Mapping[str, Any], dag_run: Any) -> RunOptions:
    """Return what a run wants.

    Args:
        params: The trigger form's values.
        dag_run: Airflow's run, to name who asked for it.

    Raises:
        SettingsError: A value does not fit.
    """
    try:
        return RunOptions(
            workers=params.get("workers"),
            force=params.get("force", False),
            dry_run=params.get("dry_run", False),
            reason=params.get("reason") or "",
            requested_by=requested_by(dag_run),
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise SettingsError(
            f"The run's parameter {first['loc'][0]} is {first['input']!r}: {first['msg']}",
            "Trigger the run again with a value that fits.",
        ) from error


def requested_by(dag_run: Any) -> str:
    """Name who or what started a run: a user, or `schedule`, `backfill`, `asset`, ..."""
    user = getattr(dag_run, "triggering_user_name", None)
    if user:
        return str(user)
    run_type = getattr(dag_run, "run_type", None) or "unknown"
    kind = str(getattr(run_type, "value", run_type))
    return {"scheduled": "schedule", "asset_triggered": "asset"}.get(kind, kind)
