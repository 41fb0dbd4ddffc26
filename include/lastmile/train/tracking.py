"""What MLflow is told of a training."""

import logging
import time
from pathlib import Path
from typing import Any

from lastmile.errors import ServiceUnavailableError
from lastmile.run import Context

log = logging.getLogger(__name__)

TRIES = 3
PAUSE_SECONDS = 1.0


def log_training(context: Context, account: dict[str, Any], bundle: Path) -> str:
    """Tell MLflow of a training; return MLflow's id of the run.

    Args:
        context: The stage's.
        account: `training.json`.
        bundle: The folder of the bundle.

    Raises:
        ServiceUnavailableError: MLflow did not answer at any of three tries.
    """
    from lastmile.clients.mlflow import Tracking

    tracking = Tracking(context.settings.mlflow, context.settings.home_path)
    for left in reversed(range(TRIES)):
        try:
            return tracking.log_training(
                context.pipeline.name,
                context.run_id,
                context.pipeline.train.model_dump(mode="json"),
                account["curves"],
                {
                    "best_validation_loss": float(account["validation_loss"]),
                    "best_epoch": float(account["best_epoch"]),
                    "epochs": float(account["epochs"]),
                },
                bundle,
            )
        except ServiceUnavailableError as error:
            if not left:
                raise
            log.warning("%s Trying again (%d of %d).", error.headline, TRIES - left + 1, TRIES)
            time.sleep(PAUSE_SECONDS)
    raise AssertionError("the last try returns or raises")
