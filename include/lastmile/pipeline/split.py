"""The `split` of a pipeline file: how rows are parted into train, validation and test."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from lastmile.pipeline.base import Checkable
from lastmile.pipeline.faults import Fault, known, refuse

_MOMENT = re.compile(
    r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:?\d\d)?)?", re.ASCII
)
OF_KIND = {
    "column": ("group", "time"),
    "validation_from": ("time",),
    "test_from": ("time",),
    "train": ("stratified", "group"),
    "validation": ("stratified", "group"),
    "test": ("stratified", "group"),
    "seed": ("stratified", "group"),
}
"""Which kinds of split read a key."""


class SplitSettings(Checkable):
    """How rows are parted. A row's part depends on its key, group or time alone, never on the others."""

    by: Literal["stratified", "group", "time"] = "stratified"
    """stratified: by a hash of the row's key, every class in every part. group: rows that share
    `column` stay together. time: by `column`, at the two given moments."""
    column: str | None = None
    """The group's or the time's column."""
    train: float = Field(default=0.7, gt=0, lt=1)
    """Share of the rows to learn from."""
    validation: float = Field(default=0.15, gt=0, lt=1)
    """Share to stop early by."""
    test: float = Field(default=0.15, gt=0, lt=1)
    """Share to be judged by."""
    validation_from: str | None = None
    """By time: the first moment of validation, ISO 8601."""
    test_from: str | None = None
    """By time: the first moment of test, ISO 8601."""
    seed: int = Field(default=0, ge=-(2**63), lt=2**63)
    """Another seed gives another split."""

    def faults(self) -> Iterator[Fault]:
        """Yield what does not go together."""
        yield from known(self._shares())
        yield from known(self._ignored())
        yield from known(self._needed())
        yield from known(self._moments())

    def _shares(self) -> Iterator[Fault]:
        total = self.train + self.validation + self.test
        if self.by != "time" and abs(total - 1) > 1e-9:
            yield Fault(
                (),
                f"train, validation and test add up to {total:g}, not to 1",
                "Give all three: those not given are 0.7, 0.15 and 0.15.",
            )

    def _ignored(self) -> Iterator[Fault]:
        for name, kinds in OF_KIND.items():
            default = type(self).model_fields[name].default
            if self.by not in kinds and getattr(self, name) != default:
                yield Fault(
                    (name,),
                    f"a split by {self.by} does not read `{name}`",
                    f"Take it out, or say by: {' or '.join(kinds)}.",
                )

    def _needed(self) -> Iterator[Fault]:
        for name in ("column", "validation_from", "test_from"):
            if self.by in OF_KIND[name] and getattr(self, name) is None:
                yield Fault((), f"a split by {self.by} needs `{name}`", f"Add `{name}:` here.")

    def _moments(self) -> Iterator[Fault]:
        if self.by != "time":
            return
        moments = []
        for name in ("validation_from", "test_from"):
            text = getattr(self, name)
            if text is None or "${" in text:  # judged when it is filled in
                continue
            moments.append(_moment(text))
            if moments[-1] is None:
                hint = "Write it as 2026-01-31 or 2026-01-31T06:00:00Z."
                yield Fault((name,), f"{name} is {text!r}, which is no ISO 8601 time", hint)
        match moments:
            case [datetime() as validation, datetime() as test] if test <= validation:
                yield Fault(
                    ("test_from",),
                    f"test_from {self.test_from} is not after validation_from {self.validation_from}",
                    "The past teaches, then comes validation, then the newest rows judge.",
                )


def _moment(text: str) -> datetime | None:
    if _MOMENT.fullmatch(text) is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _has_no_faults(split: SplitSettings) -> SplitSettings:
    refuse(split.faults())
    return split


Split = Annotated[SplitSettings, AfterValidator(_has_no_faults)]
