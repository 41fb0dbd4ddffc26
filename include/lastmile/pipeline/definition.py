"""One pipeline file as a typed, frozen model."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from lastmile.pipeline.base import Name, Strict
from lastmile.pipeline.data import Data
from lastmile.pipeline.gate import DEFAULT_PRIMARY, METRICS, Gate
from lastmile.pipeline.train import Train

Task = Literal["binary", "multiclass", "regression"]


class Team(Strict):
    """Who is told. Without an account the same text goes to the console and the ledger."""

    tracker: str | None = None
    """Project key in the tracker."""
    channel: str | None = None
    """Channel in the chat, without `#`."""


def _is_cron(expression: str | None) -> str | None:
    if expression is not None and not expression.startswith("@"):
        fields = expression.split()
        if len(fields) != 5:
            raise ValueError(f"a cron expression has 5 fields, this has {len(fields)}")
    return expression


class Pipeline(Strict):
    """One model's way from raw data to service."""

    name: Name
    """The file's name without `.yaml`; also the DAG's id and the model's name."""
    description: str = ""
    """What the model is for, in a sentence or two; shown in the Airflow UI."""
    owner: str
    """The team that answers for it."""
    tags: tuple[str, ...] = ()
    """Further tags in the Airflow UI."""
    schedule: Annotated[str | None, AfterValidator(_is_cron)] = "0 2 * * *"
    """Cron expression, UTC; null: only when triggered."""
    environment: dict[str, str | None] = Field(default_factory=dict)
    """Environment variables that the file may use as `${NAME}`, each with its default; null: it must
    be set. No others are read, and none may hold a secret."""
    task: Task
    """What the model tells: one of two classes, one of several, or a number."""
    data: Data
    """From raw rows to a dataset."""
    train: Train = Train()
    """From a dataset to a bundle."""
    gate: Gate = Gate()
    """What a candidate must reach."""
    team: Team = Team()
    """Who is told."""

    @property
    def primary_metric(self) -> str:
        """The metric that candidate, champion and baseline are compared by."""
        return self.gate.primary or DEFAULT_PRIMARY[self.task]

    @model_validator(mode="after")
    def _metrics_fit_task(self) -> "Pipeline":
        known = METRICS[self.task]
        named = {self.primary_metric, *self.gate.at_least, *self.gate.at_most}
        if unknown := sorted(named - set(known)):
            raise ValueError(
                f"gate: no metric {', '.join(unknown)} for task {self.task}; there are {', '.join(known)}"
            )
        if wrong := sorted(m for m in self.gate.at_least if not known[m]):
            raise ValueError(f"gate: less is better for {', '.join(wrong)}; put it under at_most")
        if wrong := sorted(m for m in self.gate.at_most if known[m]):
            raise ValueError(f"gate: more is better for {', '.join(wrong)}; put it under at_least")
        if self.task == "regression" and self.train.class_weights is not None:
            raise ValueError("train: class_weights are for classes, not for regression")
        return self
