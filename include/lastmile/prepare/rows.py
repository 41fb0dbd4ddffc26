"""The rows on their way through the cleaning steps."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lastmile.artefacts.dataset import KEY, LABEL
from lastmile.errors import DataError, PipelineFileError
from lastmile.features.schema import Column, ColumnKind, Schema
from lastmile.pipeline.data import Data
from lastmile.prepare.columns import make_typed, near_match, resolve_rules, sortable
from lastmile.prepare.origin import Origin
from lastmile.prepare.sources.acquired import canonical_text

if TYPE_CHECKING:
    from pandas import DataFrame, Series

    from lastmile.features.steps import Step

Mask = npt.NDArray[np.bool_]

SPLITS = ("train", "validation", "test")
TRAIN, VALIDATION, TEST = range(3)
TOP_REASONS = 5


@dataclass
class StepReport:
    """What one step did. Counts by column where a step works on columns."""

    step: str
    about: str = ""
    rows_in: int = 0
    rows_out: int = 0
    dropped: int = 0
    quarantined: dict[str, int] = field(default_factory=dict)
    """Rows by reason; a row with two reasons counts under both."""
    joined: dict[str, int] = field(default_factory=dict)
    """Of a join: rows `with_partner` and `without_partner` in the further source, its rows that are
    `unused`, and rows `added` because one had several partners."""
    changed: dict[str, int] = field(default_factory=dict)
    filled: dict[str, int] = field(default_factory=dict)
    clipped: dict[str, int] = field(default_factory=dict)
    flagged: dict[str, int] = field(default_factory=dict)
    fitted: dict[str, Any] = field(default_factory=dict)
    """What was fitted on the training split, by column."""
    notes: list[str] = field(default_factory=list)


class Rows:
    """All rows still in, by column.

    Two views of every value: `frame` holds what a client of the server would send, and becomes the
    dataset; `value` gives it as cleaned so far, which is what the next step is fitted on. The fills
    and bounds between the two are in `steps`, for training, evaluation and serving alike.
    """

    def __init__(self, data: Data, task: str, raw: "DataFrame", origin: Origin) -> None:
        """Make raw rows typed.

        Args:
            data: The pipeline's part.
            task: The pipeline's task.
            raw: All sources joined, values as they came.
            origin: Where the rows came from.

        Raises:
            DataError: A column that is needed is not there.
        """
        self.data = data
        self.task = task
        self.rules = resolve_rules(data, raw)
        self.names_read = self._names_read(raw)
        self.origin = origin
        self.rows_before = len(raw)
        self.steps: list[Step] = []
        self.classes: tuple[str, ...] | None = None
        self.quarantined: list[DataFrame] = []
        """Step and reason, by the row's number; the values are with `origin`, as they came."""
        self.split_codes: npt.NDArray[np.int8] | None = None
        self._overlay: dict[str, Series[Any]] = {}
        self.wrong: dict[str, Series[str]] = {}
        self._wrong_text: dict[str, Series[str]] = {}
        self.frame = self._make_typed(raw)

    def _make_typed(self, raw: "DataFrame") -> "DataFrame":
        import pandas as pd

        columns: dict[str, Series[Any]] = {}
        for name in self.names_read:
            if name in self.rules:
                columns[name], wrong = make_typed(raw[name], self.rules[name].type)
                if len(wrong):
                    self.wrong[name] = wrong
                    self._wrong_text[name] = canonical_text(raw[name].loc[wrong.index])
            else:
                columns[name] = raw[name]
        label = self.data.label.column
        columns[label] = canonical_text(columns[label])
        if self.data.key is not None:
            keys = canonical_text(raw[self.data.key]).str.strip()
            columns[KEY] = keys.where(keys != "")
        return pd.DataFrame(columns, copy=False)

    def _names_read(self, raw: "DataFrame") -> list[str]:
        """Contract, key, label, and what split and steps name; nothing else."""
        names: list[str | None] = [*self.rules, self.data.key, self.data.label.column,
                                   self.data.split.column]  # fmt: skip
        for step in self.data.steps:
            settings = step.settings
            names += getattr(settings, "columns", ())
            names += [getattr(settings, "order_by", None), getattr(settings, "group", None)]
        wanted = [name for name in dict.fromkeys(names) if name is not None]
        absent = [n for n in wanted if n not in raw.columns and n not in self.data.columns]
        if absent:
            raise PipelineFileError(
                f"`clean` names {absent[0]!r}, which is no column of the data.",
                near_match(absent[0], [str(name) for name in raw.columns]),
            )
        return [name for name in wanted if name in raw.columns]

    def __len__(self) -> int:
        return len(self.frame)

    @cached_property
    def schema(self) -> Schema:
        """The columns that the model reads, in the contract's order."""
        not_read = {self.data.key}
        return Schema(
            tuple(
                Column(name, ColumnKind(rules.type), rules.min, rules.max, rules.allowed)
                for name, rules in self.rules.items()
                if rules.feature and rules.type != "timestamp" and name not in not_read
            )
        )

    # Values

    def present(self, names: tuple[str, ...]) -> list[str]:
        """Return those names that the data has; optional columns may be absent."""
        return [name for name in names if name in self.frame.columns]

    def value(self, name: str) -> "Series[Any]":
        """Return a column as cleaned so far."""
        found = self._overlay.get(name)
        return self.frame[name] if found is None else found

    def set_cleaned(self, name: str, values: "Series[Any]") -> None:
        """Set a column as cleaned so far; the dataset keeps what it was."""
        self._overlay[name] = values

    def set_value(self, name: str, values: "Series[Any]") -> None:
        """Set a column for good, in the dataset too."""
        self.frame = self.frame.assign(**{name: values})

    def has_overlay(self, name: str) -> bool:
        """Whether fitted steps changed the column."""
        return name in self._overlay

    def missing(self, name: str) -> Mask:
        """Whether a value is missing; one that is there but of a wrong type is not."""
        mask: Mask = self.value(name).isna().to_numpy()
        if name in self.wrong:
            mask = mask & ~self.frame.index.isin(self.wrong[name].index)
        return mask

    def order(self, name: str) -> "Series[Any]":
        """Return a column's values for sorting.

        Raises:
            DataError: They have no order.
        """
        return sortable(self.frame[name])

    def as_read(self, rows: "DataFrame") -> "DataFrame":
        """Return rows of `frame` with the text of values of a wrong type put back."""
        rows = rows.copy()
        for name, text in self._wrong_text.items():
            here = text.index[text.index.isin(rows.index)]
            if len(here):
                rows[name] = canonical_text(rows[name])
                rows.loc[here, name] = text.loc[here]
        return rows

    # Rows

    def keep(self, mask: Mask) -> None:
        """Keep only the rows of a mask."""
        if mask.all():
            return
        self.frame = self.frame[mask]
        self._overlay = {name: values[mask] for name, values in self._overlay.items()}
        if self.split_codes is not None:
            self.split_codes = self.split_codes[mask]

    def set_aside(self, broken: list[tuple[Mask, str]], report: StepReport) -> None:
        """Send rows to quarantine.

        Args:
            broken: Which rows, and why; a row may have several reasons.
            report: Takes the counts.

        Raises:
            DataError: More rows than the pipeline allows are there now.
        """
        import pandas as pd

        broken = [(mask, reason) for mask, reason in broken if mask.any()]
        if not broken:
            return
        report.quarantined = {reason: int(mask.sum()) for mask, reason in broken}
        any_broken = np.logical_or.reduce([mask for mask, _ in broken])
        hits = pd.concat([pd.Series(reason, index=np.flatnonzero(mask)) for mask, reason in broken])
        reasons = hits.groupby(level=0, sort=True).agg("; ".join)
        self.quarantined.append(
            pd.DataFrame(
                {"step": report.step, "reason": reasons.to_numpy()},
                index=self.frame.index[any_broken],
            )
        )
        self.keep(~any_broken)
        self._check_share()

    @property
    def quarantine_size(self) -> int:
        """How many rows are in quarantine."""
        return sum(len(rows) for rows in self.quarantined)

    def _check_share(self) -> None:
        import pandas as pd

        allowed, count = self.data.quarantine.max_share, self.quarantine_size
        if count <= allowed * self.rows_before:
            return
        aside = pd.concat(self.quarantined)
        reasons = aside["reason"].str.split("; ").explode().value_counts(sort=True)
        top = ", ".join(f"{reason} ({n})" for reason, n in reasons.head(TOP_REASONS).items())
        first = "; ".join(self.origin.tell(row) for row in sorted(aside.index)[:3])
        raise DataError(
            f"{count} of {self.rows_before} rows ({count / self.rows_before:.1%}) cannot be used, more "
            f"than the {allowed:.1%} that quarantine.max_share allows: {top}.",
            f"Look at the data, first at {first}. Correct the source or the contract, or "
            "raise quarantine.max_share.",
        )

    # Splits

    @property
    def splits(self) -> npt.NDArray[np.int8]:
        """Each row's split, 0 train, 1 validation, 2 test; decided when first asked for."""
        if self.split_codes is None:
            raise AssertionError("the organiser assigns splits before a step asks for them")
        return self.split_codes

    @property
    def is_train(self) -> Mask:
        """Which rows are in the training split."""
        mask: Mask = self.splits == TRAIN
        return mask

    def training_values(self, name: str) -> "Series[Any]":
        """Return a column as cleaned so far, known values of the training split only.

        Raises:
            DataError: There are none.
        """
        found = self.value(name)[self.is_train].dropna()
        if found.empty:
            raise DataError(
                f"Column {name!r} has no value in the training split to fit a step on.",
                "Leave the column out, or fill it with a constant.",
            )
        return found

    def class_counts(self) -> dict[str, dict[str, int]]:
        """Return rows by split and class; an empty mapping for a regression."""
        if self.classes is None:
            return {}
        labels = self.frame[LABEL].to_numpy()
        return {
            split: {
                name: int(((self.splits == code) & (labels == number)).sum())
                for number, name in enumerate(self.classes)
            }
            for code, split in enumerate(SPLITS)
        }
