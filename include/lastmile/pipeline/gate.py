"""The `gate` part of a pipeline file: what a candidate must reach."""

from pydantic import Field

from lastmile.pipeline.base import Strict

METRICS: dict[str, dict[str, bool]] = {
    # task: metric: whether more is better
    "binary": {
        "roc_auc": True, "average_precision": True, "accuracy": True, "balanced_accuracy": True,
        "precision": True, "recall": True, "f1": True, "log_loss": False, "brier": False,
    },
    "multiclass": {
        "accuracy": True, "balanced_accuracy": True, "macro_f1": True, "roc_auc_ovr": True,
        "log_loss": False,
    },
    "regression": {"r2": True, "rmse": False, "mae": False, "median_absolute_error": False},
}  # fmt: skip
"""Every metric of every task; the names are scikit-learn's where it has one."""

DEFAULT_PRIMARY = {"binary": "roc_auc", "multiclass": "macro_f1", "regression": "rmse"}


class Gate(Strict):
    """The checks of the verdict, all on the test split."""

    primary: str | None = None
    """The metric that candidate, champion and baseline are compared by. Not given: roc_auc, macro_f1
    or rmse, by the task."""
    at_least: dict[str, float] = Field(default_factory=dict)
    """Metrics where more is better, and the least that will do."""
    at_most: dict[str, float] = Field(default_factory=dict)
    """Metrics where less is better, and the most that will do."""
    not_worse_than_champion_by: float = Field(default=0.0, ge=0)
    """How much worse than the champion the primary metric may be."""
    min_rows: int = Field(default=50, ge=1)
    """With fewer test rows than this a human has to decide."""
    decision_threshold: float = Field(default=0.5, gt=0, lt=1)
    """Binary: from this probability on the answer is class 1."""
