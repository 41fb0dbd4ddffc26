"""The cleaning of a batch, in the order of the pipeline file.

What a step needs to know of the data (a median, bounds) was fitted on the training split and is part
of the step, so that the server cleans a single record as training cleaned a million. Doing a step a
second time changes no value.

A single record is the common case at the server, so a step is a few operations on the whole matrix,
with a neutral value (NaN, minus infinity, infinity) in the columns that it leaves alone.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
import numpy.typing as npt

from lastmile.features.schema import Batch, Schema, Texts, ValueRules


class Step(Protocol):
    """One step. Knows no rows, only values: it never adds or drops a record."""

    name: ClassVar[str]

    def compile(self, schema: Schema, flags: tuple[str, ...]) -> "CompiledStep":
        """Bind the step to the schema's column positions; `flags` are the columns added so far.

        Raises:
            ValueError: The step speaks of a column that is not there, or of the wrong kind.
        """
        ...


class CompiledStep(Protocol):
    """A step bound to column positions."""

    @property
    def flags(self) -> tuple[str, ...]:
        """The columns of zeros and ones that this step appends to the numbers."""
        ...

    def __call__(self, batch: Batch) -> Batch:
        """Return the cleaned batch; the given one is left as it is."""
        ...


@dataclass(frozen=True, slots=True)
class TextStep:
    """Bring spellings together: outer blanks off, inner blanks to one, one case; empty is missing."""

    name: ClassVar[str] = "text"
    columns: tuple[str, ...]
    case: Literal["lower", "upper", "keep"] = "lower"

    def normalise(self, text: str | None) -> str | None:
        """Normalise one text."""
        if text is None:
            return None
        text = " ".join(text.split())
        if self.case != "keep":
            text = text.lower() if self.case == "lower" else text.upper()
        return text or None

    def compile(self, schema: Schema, flags: tuple[str, ...]) -> CompiledStep:
        """Bind to the positions of the text columns."""
        positions = _positions([c.name for c in schema.textual], self.columns)
        normalise = np.frompyfunc(self.normalise, 1, 1)

        def run(batch: Batch) -> Batch:
            texts = batch.texts.copy()
            texts[:, positions] = normalise(texts[:, positions])
            return Batch(batch.numbers, texts)

        return _Compiled(run)


@dataclass(frozen=True, slots=True)
class ContractStep:
    """Refuse a value outside its column's contract; preparing put such rows into quarantine."""

    name: ClassVar[str] = "contract"

    def compile(self, schema: Schema, flags: tuple[str, ...]) -> CompiledStep:
        """Bind to the schema's rules."""
        rules = ValueRules(schema)

        def run(batch: Batch) -> Batch:
            rules.refuse_broken(batch)
            return batch

        return _Compiled(run)


@dataclass(frozen=True, slots=True)
class FillStep:
    """Put a fixed value where one is missing."""

    name: ClassVar[str] = "fill"
    values: Mapping[str, float | str]
    flag: bool = False
    """Also tell the model where something was missing, as `<column>_missing`."""

    def compile(self, schema: Schema, flags: tuple[str, ...]) -> CompiledStep:
        """Bind to the positions of the columns to fill."""
        numeric = [c.name for c in schema.numeric]
        textual = [c.name for c in schema.textual]
        _positions([*numeric, *textual], tuple(self.values))  # refuses an unknown column
        number_at = [i for i, name in enumerate(numeric) if name in self.values]
        text_at = [i for i, name in enumerate(textual) if name in self.values]
        fill = np.full(len(numeric) + len(flags), np.nan)
        fill[number_at] = [float(self.values[numeric[i]]) for i in number_at]
        text_fill = [(i, self.values[textual[i]]) for i in text_at]

        def run(batch: Batch) -> Batch:
            numbers, texts = batch.numbers, batch.texts
            missing = np.isnan(numbers)
            if number_at and np.count_nonzero(missing):  # quicker than any() for one record
                numbers = np.where(missing, fill, numbers)
            missing_texts = _is_none(texts) if text_at else None
            if missing_texts is not None and missing_texts.any():
                texts = texts.copy()
                for position, value in text_fill:
                    texts[missing_texts[:, position], position] = value
            if self.flag:
                extra = [missing[:, number_at]]
                if missing_texts is not None:
                    extra.append(missing_texts[:, text_at])
                numbers = np.hstack([numbers, *extra])
            return Batch(numbers, texts)

        names = [numeric[i] for i in number_at] + [textual[i] for i in text_at]
        return _Compiled(run, tuple(f"{name}_missing" for name in names) if self.flag else ())


@dataclass(frozen=True, slots=True)
class BoundsStep:
    """Treat numbers outside fitted bounds: clip them to the bound, or flag them and leave them."""

    name: ClassVar[str] = "bounds"
    bounds: Mapping[str, tuple[float, float]]
    action: Literal["clip", "flag"]
    """A flag is a column `<column>_outlier` of zeros and ones."""

    def compile(self, schema: Schema, flags: tuple[str, ...]) -> CompiledStep:
        """Bind to the positions of the bounded columns."""
        names = [c.name for c in schema.numeric]
        at = _positions(names, tuple(self.bounds))
        width = len(names) + len(flags)
        low, high = np.full(width, -np.inf), np.full(width, np.inf)
        low[at] = [self.bounds[names[i]][0] for i in at]
        high[at] = [self.bounds[names[i]][1] for i in at]

        def clip(batch: Batch) -> Batch:
            return Batch(np.minimum(np.maximum(batch.numbers, low), high), batch.texts)

        def flag(batch: Batch) -> Batch:
            values: npt.NDArray[np.float64] = batch.numbers
            outside = (values < low) | (values > high)
            return Batch(np.hstack([values, outside[:, at]]), batch.texts)

        if self.action == "clip":
            return _Compiled(clip)
        return _Compiled(flag, tuple(f"{names[i]}_outlier" for i in at))


STEPS: tuple[type[Any], ...] = (TextStep, ContractStep, FillStep, BoundsStep)
"""Every kind of step, by which the transform's file is read back."""


@dataclass(frozen=True, slots=True)
class _Compiled:
    run: Callable[[Batch], Batch]
    flags: tuple[str, ...] = ()

    def __call__(self, batch: Batch) -> Batch:
        return self.run(batch)


def step_to_json(step: Step) -> dict[str, Any]:
    """Return the step as JSON values."""
    return {"step": step.name, **asdict(step)}  # type: ignore[call-overload]


def step_from_json(value: Mapping[str, Any]) -> Step:
    """Read a step back.

    Raises:
        ValueError: No such step, or its fields do not fit.
    """
    fields = dict(value)
    kind = fields.pop("step", None)
    for step in STEPS:
        if step.name == kind:
            if "columns" in fields:
                fields["columns"] = tuple(fields["columns"])
            if "bounds" in fields:
                fields["bounds"] = {k: (low, high) for k, (low, high) in fields["bounds"].items()}
            try:
                result: Step = step(**fields)
            except TypeError as error:
                raise ValueError(f"step {kind!r}: {error}") from error
            return result
    raise ValueError(f"no step is called {kind!r}; there are {', '.join(s.name for s in STEPS)}")


def _is_none(texts: Texts) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = np.equal(texts, None).astype(bool)  # type: ignore[call-overload]
    return found


def _positions(names: list[str], wanted: tuple[str, ...]) -> list[int]:
    """Return where the wanted columns stand, in the schema's order."""
    missing = [name for name in wanted if name not in names]
    if missing:
        raise ValueError(f"no such column: {', '.join(missing)}; there are {', '.join(names)}")
    return [index for index, name in enumerate(names) if name in wanted]
