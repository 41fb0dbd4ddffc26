"""One pipeline file as a typed, frozen model."""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from lastmile.pipeline.base import Name, SelfChecking, Spelling, Strict
from lastmile.pipeline.data import Data
from lastmile.pipeline.faults import Fault, within
from lastmile.pipeline.gate import DEFAULT_PRIMARY, Gate
from lastmile.pipeline.schedule import Schedule
from lastmile.pipeline.train import Train

Task = Literal["binary", "multiclass", "regression"]


class Team(Strict):
    """Who is told. Without an account the same text goes to the console and the ledger."""

    tracker: str | None = None
    """Project key in the tracker."""
    channel: str | None = None
    """Channel in the chat, without `#`."""


class Pipeline(SelfChecking):
    """One model's way from raw data to service."""

    name: Name
    """The file's name without `.yaml`; also the DAG's id and the model's name."""
    description: str = ""
    """What the model is for, in a sentence or two; shown in the Airflow UI."""
    owner: str
    """The team that answers for it."""
    tags: tuple[str, ...] = ()
    """Further tags in the Airflow UI."""
    schedule: Schedule = "0 2 * * *"
    """Cron expression, UTC; null: only when triggered."""
    environment: dict[str, Spelling | None] = Field(default_factory=dict)
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

    def faults(self) -> Iterator[Fault]:
        """Yield what the gate asks for and the task does not have."""
        yield from within(("gate",), self.gate.faults_for(self.task))
