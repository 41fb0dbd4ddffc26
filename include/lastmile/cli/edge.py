"""The edge where names and environment become values: read once, handed down."""

import getpass

from lastmile.ledger.ledger import Ledger
from lastmile.pipeline.load import load_pipeline
from lastmile.run import Context, RunOptions
from lastmile.settings import Settings, load_settings
from lastmile.store import Store


def open_store(settings: Settings) -> Store:
    """Return the environment's store."""
    return Store(settings.store, settings.home_path / "cache")


def open_ledger(settings: Settings) -> Ledger:
    """Return the environment's ledger."""
    return Ledger(settings.ledger, settings.lease_seconds)


def open_context(pipeline: str, run_id: str, options: RunOptions) -> Context:
    """Return all that a stage of this pipeline's run may use.

    Raises:
        PermanentError: The settings or the pipeline file are wrong.
    """
    settings = load_settings()
    if not options.requested_by:
        options = options.model_copy(update={"requested_by": getpass.getuser()})
    return Context(
        pipeline=load_pipeline(pipeline, settings),
        run_id=run_id,
        options=options,
        settings=settings,
        store=open_store(settings),
        ledger=open_ledger(settings),
    )
