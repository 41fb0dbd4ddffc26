"""What workers tell their supervisor: one JSON document per line on their standard output."""

import contextlib
import os
import sys
import threading
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from lastmile.pipeline.base import Strict


class Alive(Strict):
    """Nothing new; the process is not frozen."""

    event: Literal["alive"] = "alive"


class Resumed(Strict):
    """Training starts, or goes on, after so many finished steps."""

    event: Literal["resumed"] = "resumed"
    step: int
    epoch: int


class EpochDone(Strict):
    """An epoch is finished."""

    event: Literal["epoch"] = "epoch"
    epoch: int
    """Counted from 1."""
    epochs: int
    step: int
    loss: float
    validation_loss: float
    rows_per_second: float
    seconds_left: float
    """Should no epoch be saved by early stopping."""

    def __str__(self) -> str:
        text = (
            f"epoch {self.epoch}/{self.epochs} · loss {self.loss:.4g}"
            f" · validation {self.validation_loss:.4g}"
        )
        if not self.rows_per_second:  # it went on at this epoch's very end: nothing to measure yet
            return text
        return (
            f"{text} · {_count(self.rows_per_second)} rows/s · {_duration(self.seconds_left)} left"
        )


class Stopped(Strict):
    """The worker was asked to stop; what is finished is in the checkpoint."""

    event: Literal["stopped"] = "stopped"
    step: int
    epoch: int


class Finished(Strict):
    """The bundle is there."""

    event: Literal["finished"] = "finished"
    epochs: int
    best_epoch: int
    validation_loss: float
    rows_per_second: float


class Failed(Strict):
    """The worker ends with an error that Lastmile foresaw."""

    event: Literal["failed"] = "failed"
    error: str
    """Name of the class in `lastmile.errors`."""
    headline: str
    hint: str


Event = Alive | Resumed | EpochDone | Stopped | Finished | Failed
_ADAPTER: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="event")])


def parse_event(line: str) -> Event | None:
    """Read a line; None where it is no event, but something a library printed."""
    if not line.startswith("{"):
        return None
    try:
        return _ADAPTER.validate_json(line)
    except ValidationError:
        return None


class EventWriter:
    """The worker's end of the line. Safe to use from several threads."""

    def __init__(self, handle: int) -> None:
        self._handle = handle
        self._lock = threading.Lock()

    @classmethod
    def on_stdout(cls) -> "EventWriter":
        """Take standard output for events alone; what libraries print goes to standard error."""
        sys.stdout.flush()
        kept = os.dup(1)
        os.dup2(2, 1)
        return cls(kept)

    def send(self, event: Event) -> None:
        """Send an event at once; a supervisor that is gone is no fault of the event's."""
        line = event.model_dump_json().encode() + b"\n"
        with self._lock, contextlib.suppress(OSError):
            while line:
                line = line[os.write(self._handle, line) :]


def error_event(error: Any) -> Failed:
    """Wrap a `LastmileError`."""
    return Failed(error=type(error).__name__, headline=error.headline, hint=error.hint)


def _count(value: float) -> str:
    """Return a number to read: 950, 12k, 3.4M."""
    for limit, unit in ((1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.3g}{unit}"
    return f"{value:.0f}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
