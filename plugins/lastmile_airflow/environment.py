"""The settings as Airflow's processes see them."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from lastmile.settings import load_settings

if TYPE_CHECKING:
    from lastmile.run import Context, RunOptions
    from lastmile.settings import Settings

CHECKOUT = Path(__file__).resolve().parents[2]
"""The checkout this file stands in."""


def airflow_settings() -> "Settings":
    """Read the settings; where no root is set it is the checkout, not Airflow's working folder.

    Raises:
        SettingsError: A variable has a value that does not fit.
    """
    settings = load_settings()
    if "LASTMILE_ROOT" in os.environ:
        return settings
    return settings.model_copy(update={"root": CHECKOUT})


def run_context(pipeline: str, run_id: str, options: "RunOptions") -> "Context":
    """Return what reads a run's results from store and ledger. Only in a task: it opens both.

    Raises:
        LastmileError: The pipeline file or the settings are wrong.
    """
    from lastmile.ledger.ledger import Ledger
    from lastmile.pipeline.load import load_pipeline
    from lastmile.run import Context
    from lastmile.store import Store

    settings = airflow_settings()
    return Context(
        pipeline=load_pipeline(pipeline, settings),
        run_id=run_id,
        options=options,
        settings=settings,
        store=Store(settings.store, settings.home_path / "cache"),
        ledger=Ledger(settings.ledger, settings.lease_seconds),
    )
