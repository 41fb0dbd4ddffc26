"""The fitted transform: schema, cleaning steps and encoding, from a record to the model's input."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from lastmile.features.schema import Batch, Column, ColumnKind, RecordError, Schema
from lastmile.features.steps import CompiledStep, Step, step_from_json, step_to_json

FORMAT = 1
"""Version of the file's form; a reader refuses one that it does not know."""


@dataclass(frozen=True)
class Cleaning:
    """The schema and its cleaning steps: what preparing fits."""

    schema: Schema
    steps: tuple[Step, ...] = ()

    @cached_property
    def _compiled(self) -> tuple[CompiledStep, ...]:
        compiled: list[CompiledStep] = []
        for step in self.steps:
            flags = tuple(flag for earlier in compiled for flag in earlier.flags)
            compiled.append(step.compile(self.schema, flags))
        return tuple(compiled)

    @cached_property
    def flags(self) -> tuple[str, ...]:
        """The columns of zeros and ones that the steps append to the numbers, in order."""
        return tuple(flag for step in self._compiled for flag in step.flags)

    def __call__(self, batch: Batch) -> Batch:
        """Clean a batch.

        Raises:
            RecordError: A value breaks the contract.
        """
        for step in self._compiled:
            batch = step(batch)
        return batch


@dataclass(frozen=True)
class Encoding:
    """From a cleaned batch to the model's input: numbers standardised, categories one-hot.

    What training never saw must not meet weights that were never trained: a number that was constant
    there is always 0, and an unknown category is the average of the known ones.
    """

    mean: tuple[float, ...]
    scale: tuple[float, ...]
    """Standard deviations, 1 for a flag, 0 for what was constant; as many as the batch has numbers."""
    vocabularies: tuple[tuple[str, ...], ...]
    """Per category column its known values, sorted."""
    shares: tuple[tuple[float, ...], ...]
    """How often each known value occurs; they sum to 1."""

    @cached_property
    def width(self) -> int:
        """How many values the model reads per record."""
        return len(self.mean) + sum(len(words) for words in self.vocabularies)

    @cached_property
    def _arrays(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return the means and the factors that standardise."""
        scale = np.array(self.scale, dtype=np.float64)
        factor = np.divide(1.0, scale, out=np.zeros_like(scale), where=scale > 0)
        return np.array(self.mean, dtype=np.float64), factor

    @cached_property
    def _codes(self) -> tuple[tuple[slice, npt.NDArray[np.float32], dict[str, int], int], ...]:
        """Return per category column its place, a row to write for each code, and the codes."""
        found, start = [], len(self.mean)
        for words, shares in zip(self.vocabularies, self.shares, strict=True):
            rows = np.vstack([np.eye(len(words)), [shares]]).astype(np.float32)
            place = slice(start, start + len(words))
            found.append((place, rows, {word: i for i, word in enumerate(words)}, len(words)))
            start += len(words)
        return tuple(found)

    def __call__(self, batch: Batch) -> npt.NDArray[np.float32]:
        """Encode a cleaned batch as (rows, width), float32.

        Missing numbers stay NaN; a number too far out for float32 becomes infinite.
        """
        mean, factor = self._arrays
        with np.errstate(over="ignore", invalid="ignore"):
            numbers = ((batch.numbers - mean) * factor).astype(np.float32)
        if not self.vocabularies:
            return numbers
        encoded = np.empty((len(batch), self.width), dtype=np.float32)
        encoded[:, : len(mean)] = numbers
        for index, (place, rows, code_of, unknown) in enumerate(self._codes):
            codes = [code_of.get(text, unknown) for text in batch.texts[:, index].tolist()]
            encoded[:, place] = rows[codes]
        return encoded

    @classmethod
    def fit(cls, batch: Batch, flags: int) -> "Encoding":
        """Fit on the cleaned training split.

        Args:
            batch: The training split, no value missing.
            flags: How many of the last numbers are flags, which stay 0 and 1.
        """
        mean = batch.numbers.mean(axis=0)
        scale = batch.numbers.std(axis=0)
        is_constant = scale < 1e-12 * np.maximum(1.0, np.abs(mean))
        if flags:
            mean[-flags:], scale[-flags:] = 0.0, 1.0
        scale[is_constant] = 0.0
        counts = [
            np.unique(batch.texts[:, i].astype(str), return_counts=True)
            for i in range(batch.texts.shape[1])
        ]
        return cls(
            tuple(mean.tolist()),
            tuple(scale.tolist()),
            tuple(tuple(words.tolist()) for words, _ in counts),
            tuple(tuple((count / count.sum()).tolist()) for _, count in counts),
        )


@dataclass(frozen=True)
class Target:
    """Mean and standard deviation of a regression's target in the training split; else 0 and 1.

    The model answers in this unit, in float32; the answer itself is float64, so that a target of 1e9
    keeps its last digits.
    """

    mean: float = 0.0
    scale: float = 1.0

    def __call__(self, outputs: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Return what the model says, in the target's own unit."""
        return outputs.astype(np.float64) * self.scale + self.mean


@dataclass(frozen=True)
class Transform:
    """All that lies between a record and the model's input, and between its output and the answer."""

    cleaning: Cleaning
    encoding: Encoding
    target: Target = Target()

    def __post_init__(self) -> None:
        numbers = len(self.schema.numeric) + len(self.cleaning.flags)
        texts = len(self.schema.textual)
        if not numbers == len(self.encoding.mean) == len(self.encoding.scale):
            raise ValueError(
                f"cleaning gives {numbers} numbers, the encoding knows {len(self.encoding.mean)}"
            )
        if texts != len(self.encoding.vocabularies):
            raise ValueError(
                f"there are {texts} category columns, but the encoding has a vocabulary for "
                f"{len(self.encoding.vocabularies)}"
            )

    @property
    def schema(self) -> Schema:
        """The input columns."""
        return self.cleaning.schema

    @property
    def constant_columns(self) -> tuple[str, ...]:
        """The columns that never varied in training, so that the model does not read them."""
        numbers = zip(self.schema.numeric, self.encoding.scale, strict=False)  # then come the flags
        words = zip(self.schema.textual, self.encoding.vocabularies, strict=True)
        return (
            *(column.name for column, scale in numbers if scale == 0),
            *(column.name for column, known in words if len(known) < 2),
        )

    def __call__(self, records: Sequence[Any]) -> npt.NDArray[np.float32]:
        """Turn records into the model's input, (rows, width), float32.

        Raises:
            RecordError: A record does not fit the schema or its contract, or lacks a value that
                nothing fills in.
        """
        return self.encode(self.schema.parse(records))

    def encode(self, batch: Batch) -> npt.NDArray[np.float32]:
        """Clean and encode a parsed batch; see `__call__`."""
        batch = self.cleaning(batch)
        encoded = self.encoding(batch)
        is_usable = np.count_nonzero(np.isfinite(encoded)) == encoded.size
        if not is_usable or (self.schema.textual and None in batch.texts.ravel().tolist()):
            self._refuse_unusable(batch, encoded)
        return encoded

    def _refuse_unusable(self, batch: Batch, encoded: npt.NDArray[np.float32]) -> None:
        """Name the first record that lacks a value, or has a number that float32 cannot hold."""
        faults: list[tuple[int, int, str, str]] = []
        for index, column in enumerate(self.schema.columns):
            if column.kind.is_numeric:
                position = self.schema.numeric.index(column)
                missing = np.isnan(batch.numbers[:, position])
                too_large = ~np.isfinite(encoded[:, position]) & ~missing
            else:
                texts = batch.texts[:, self.schema.textual.index(column)]
                missing = np.array([text is None for text in texts], dtype=bool)
                too_large = np.zeros(len(batch), dtype=bool)
            for broken, reason in ((missing, "missing"), (too_large, "too large a number")):
                if broken.any():
                    faults.append((int(broken.argmax()), index, column.name, reason))
        if faults:
            row, _, name, reason = min(faults)
            raise RecordError(row, name, reason)

    def to_json(self) -> str:
        """Return the file's text; equal transforms give equal text."""
        return json.dumps(
            {
                "format": FORMAT,
                **cleaning_to_json(self.cleaning),
                "encoding": asdict(self.encoding),
                "target": asdict(self.target),
            },
            indent=1,
        )

    @classmethod
    def from_json(cls, text: str | bytes) -> "Transform":
        """Read a transform back.

        Raises:
            ValueError: The text is no transform of a known format.
        """
        value = json.loads(text)
        if not isinstance(value, dict) or value.get("format") != FORMAT:
            found = value.get("format") if isinstance(value, dict) else value
            raise ValueError(f"transform of format {found!r:.60}, expected {FORMAT}")
        cleaning = cleaning_from_json(value)
        try:
            encoding = value["encoding"]
            fitted = Encoding(
                tuple(map(float, encoding["mean"])),
                tuple(map(float, encoding["scale"])),
                tuple(tuple(words) for words in encoding["vocabularies"]),
                tuple(tuple(map(float, shares)) for shares in encoding["shares"]),
            )
            target = Target(float(value["target"]["mean"]), float(value["target"]["scale"]))
        except (KeyError, TypeError) as error:
            raise ValueError(f"the transform's encoding does not fit: {error!r}") from error
        return cls(cleaning, fitted, target)


def cleaning_to_json(cleaning: Cleaning) -> dict[str, Any]:
    """Return a cleaning as JSON values, `columns` and `steps`."""
    return {
        "columns": [asdict(column) for column in cleaning.schema.columns],
        "steps": [step_to_json(step) for step in cleaning.steps],
    }


def cleaning_from_json(value: Mapping[str, Any]) -> Cleaning:
    """Read a cleaning back from `columns` and `steps`.

    Raises:
        ValueError: The values do not fit.
    """
    try:
        columns = tuple(
            Column(
                name=column["name"],
                kind=ColumnKind(column["kind"]),
                minimum=column["minimum"],
                maximum=column["maximum"],
                allowed=None if column["allowed"] is None else tuple(column["allowed"]),
            )
            for column in value["columns"]
        )
        return Cleaning(Schema(columns), tuple(step_from_json(step) for step in value["steps"]))
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"the columns or steps do not fit: {error!r}") from error
