"""The `gate` part of a pipeline file: what a candidate must reach."""

import math
from collections.abc import Iterator

from pydantic import Field

from lastmile.pipeline.base import Strict
from lastmile.pipeline.faults import Fault, known
from lastmile.pipeline.problems import choices, near_match

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

RANGES = {
    "r2": (-math.inf, 1.0), "log_loss": (0.0, math.inf), "rmse": (0.0, math.inf),
    "mae": (0.0, math.inf), "median_absolute_error": (0.0, math.inf),
}  # fmt: skip
"""Which values a metric can have; of all others 0 to 1."""

TOO_EASY = {
    "recall": "A model that always says yes has the best recall there is.",
    "precision": "A model that says yes once, when it is sure, has the best precision there is.",
}
"""Metrics that a useless model wins, and so nothing to compare models by."""

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

    def faults_for(self, task: str) -> Iterator[Fault]:
        """Yield metrics that the task does not have, or that cannot be asked for like this."""
        yield from known(self._primary_faults(task))
        for side in ("at_least", "at_most"):
            yield from known(self._side_faults(task, side))
        if task != "binary" and self.decision_threshold != 0.5:
            where = ("decision_threshold",)
            yield Fault(where, f"decision_threshold is for binary, not for {task}", "Take it out.")

    def _primary_faults(self, task: str) -> Iterator[Fault]:
        if self.primary is None:
            return
        if self.primary in TOO_EASY and task == "binary":
            yield Fault(
                ("primary",),
                f"models cannot be compared by {self.primary} alone",
                f"{TOO_EASY[self.primary]} Take f1 or average_precision, "
                f"and ask for {self.primary} under at_least.",
            )
        else:
            yield from _unknown(task, ("primary",), self.primary)

    def _side_faults(self, task: str, side: str) -> Iterator[Fault]:
        for metric, bound in getattr(self, side).items():
            yield from known(_bound_faults(task, side, metric, bound))


def _unknown(task: str, where: tuple[str, ...], metric: str) -> Iterator[Fault]:
    metrics = METRICS[task]
    if metric not in metrics:
        hint = near_match(metric, metrics) or choices(metrics)
        yield Fault(where, f"there is no metric {metric!r} for task {task}", hint)


def _bound_faults(task: str, side: str, metric: str, bound: float) -> Iterator[Fault]:
    where = (side, metric)
    if metric not in METRICS[task]:
        yield from _unknown(task, where, metric)
        return
    right = "at_least" if METRICS[task][metric] else "at_most"
    if side != right:
        which = "more" if right == "at_least" else "less"
        yield Fault(where, f"of {metric}, {which} is better", f"Put it under {right}.")
        return
    least, most = RANGES.get(metric, (0.0, 1.0))
    if not least <= bound <= most:
        hint = f"Did you mean {bound / 100:g}?" if most == 1 and 1 < bound <= 100 else ""
        limits = f"from {least:g} to {most:g}" if math.isfinite(least) and math.isfinite(most) else (
            f"at most {most:g}" if math.isfinite(most) else f"at least {least:g}")  # fmt: skip
        yield Fault(where, f"{metric} is always {limits}, never {bound:g}", hint)
