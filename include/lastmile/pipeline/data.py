"""The `data` part of a pipeline file: sources, contract, cleaning, label, split."""

from collections.abc import Iterator
from typing import Any, Literal, get_args

from pydantic import (
    Field,
    GetJsonSchemaHandler,
    model_serializer,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema

from lastmile.pipeline.base import Name, SelfChecking, Spelling, Strict, exactly_one
from lastmile.pipeline.faults import Fault, known
from lastmile.pipeline.problems import near_match
from lastmile.pipeline.split import Split
from lastmile.pipeline.split import SplitSettings as SplitSettings
from lastmile.prepare.cleaning.contract import ContractCheck
from lastmile.prepare.cleaning.duplicates import Duplicates
from lastmile.prepare.cleaning.label import LabelMapping
from lastmile.prepare.cleaning.missing import Missing
from lastmile.prepare.cleaning.outliers import Outliers
from lastmile.prepare.cleaning.text import TextNormalisation
from lastmile.prepare.sources.csv import CsvSource
from lastmile.prepare.sources.python import PythonSource
from lastmile.prepare.sources.sql import SqlSource


class Source(SelfChecking):
    """One table of raw rows: a name, and one of the kinds."""

    name: Name
    """How `join` and the reports call it."""
    csv: CsvSource | None = None
    """One CSV file or several that share a header."""
    sql: SqlSource | None = None
    """A query over a connection."""
    python: PythonSource | None = None
    """A Python function that yields data frames."""

    def faults(self) -> Iterator[Fault]:
        """Yield a fault unless there is one kind."""
        yield from exactly_one(self, "csv", "sql", "python")

    @property
    def kind(self) -> str:
        """The kind's name."""
        return next(k for k in ("csv", "sql", "python") if getattr(self, k) is not None)

    @property
    def reader(self) -> CsvSource | SqlSource | PythonSource:
        """The kind's settings, whose `read` gives the rows."""
        return self.csv or self.sql or self.python  # type: ignore[return-value]


class ColumnRules(SelfChecking):
    """The contract of one column. A row that breaks it goes to quarantine."""

    type: Literal["integer", "number", "boolean", "category", "timestamp"]
    """What its values are."""
    min: float | None = None
    """The least value allowed."""
    max: float | None = None
    """The greatest value allowed."""
    allowed: tuple[Spelling, ...] | None = Field(default=None, min_length=1)
    """The categories allowed; not given: any."""
    required: bool = True
    """Whether the column must exist in the data."""
    nullable: bool = True
    """Whether a single value may be missing. A cleaning step then has to deal with it."""
    feature: bool = True
    """Whether the model reads it. A timestamp is never read by the model."""

    def faults(self) -> Iterator[Fault]:
        """Yield rules that do not fit the type or each other."""
        for name in ("min", "max"):
            if getattr(self, name) is not None and self.type not in ("integer", "number"):
                yield Fault((name,), f"{name} is for integer and number, not for {self.type}")
        if self.allowed is not None and self.type != "category":
            yield Fault(("allowed",), f"allowed is for category, not for {self.type}")
        if self.min is not None and self.max is not None and self.min > self.max:
            yield Fault(("min",), f"min {self.min:g} is above max {self.max:g}")


class Label(Strict):
    """What the model is to tell."""

    column: str
    """The column that holds it."""
    map: dict[str, str | int | float] | None = None
    """From the spellings in the data to the classes; a spelling that is not here is no label and
    sends its row to quarantine. For a binary task the classes are 0 and 1."""
    classes: tuple[Spelling, ...] | None = None
    """How the classes are called in answers, in the order of their numbers. Not given: the labels."""


def _settings_of(field: FieldInfo) -> type[Strict]:
    """Return the model behind `Kind | None`."""
    kind: type[Strict] = get_args(field.annotation)[0]
    return kind


class CleanStep(SelfChecking):
    """One cleaning step: a mapping with exactly one key, the kind."""

    contract: ContractCheck | None = None
    """Check every row against `columns`. Where it is not listed it is the first step."""
    duplicates: Duplicates | None = None
    """Drop rows that stand there more than once."""
    text: TextNormalisation | None = None
    """Bring spellings together."""
    missing: Missing | None = None
    """Deal with missing values."""
    outliers: Outliers | None = None
    """Deal with values far from the others."""
    label: LabelMapping | None = None
    """Map the label. Where it is not listed it is the last step."""

    def faults(self) -> Iterator[Fault]:
        """Yield a fault unless there is one kind."""
        yield from exactly_one(self, *type(self).model_fields)

    @property
    def kind(self) -> str:
        """The kind's name."""
        return next(k for k in type(self).model_fields if getattr(self, k) is not None)

    @property
    def settings(self) -> Any:
        """The kind's settings, whose `apply` does the step."""
        return getattr(self, self.kind)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """In the editor, too, a bare name will do for a step without settings."""
        mapping = super().__get_pydantic_json_schema__(schema, handler)
        names = [
            name
            for name, field in cls.model_fields.items()
            if not any(inner.is_required() for inner in _settings_of(field).model_fields.values())
        ]
        return {"anyOf": [{"enum": names, "type": "string"}, mapping]}

    @model_validator(mode="before")
    @classmethod
    def _accept_bare_name(cls, value: object) -> object:
        """`- contract` is short for `- contract: {}`."""
        return {value: {}} if isinstance(value, str) else value

    @model_serializer
    def _only_the_kind(self) -> dict[str, Any]:
        return {self.kind: self.settings.model_dump(mode="json")}


class Quarantine(Strict):
    """What happens to rows that break the contract or have no label: they are set aside, in a file."""

    max_share: float = Field(default=0.02, ge=0, le=1)
    """The share of the raw rows that may go there; above it the stage fails."""


class Data(SelfChecking):
    """From raw rows to a dataset."""

    sources: tuple[Source, ...] = Field(min_length=1)
    """The tables; the first is the one the others are joined to."""
    join: dict[str, str] = Field(default_factory=dict)
    """For each further source the column it shares with the first. Rows without a partner stay."""
    key: str | None = None
    """The column that names a row. Not given: a row is named by the values that the model reads."""
    label: Label
    """What the model is to tell."""
    columns: dict[str, ColumnRules] = Field(default_factory=dict)
    """The contract, column by column, in the order the model reads them. Empty: every column of the
    data but key and label, its type found by looking."""
    clean: tuple[CleanStep, ...] = ()
    """The cleaning steps, in order."""
    quarantine: Quarantine = Quarantine()
    """What happens to rows that cannot be used."""
    split: Split = SplitSettings()
    """How rows are parted into train, validation and test."""

    def faults(self) -> Iterator[Fault]:
        """Yield names that do not fit each other."""
        yield from known(self._source_faults())
        yield from known(self._join_faults())
        yield from known(self._label_faults())

    def _source_faults(self) -> Iterator[Fault]:
        seen: set[str] = set()
        for index, source in enumerate(self.sources):
            if source.name in seen:
                yield Fault(
                    ("sources", index, "name"), f"two sources have the name {source.name!r}"
                )
            seen.add(source.name)

    def _join_faults(self) -> Iterator[Fault]:
        further = [source.name for source in self.sources[1:]]
        for index, name in enumerate(further, start=1):
            if name not in self.join:
                hint = f"Add `{name}: <the column it shares with the first>` under `join`."
                yield Fault(("sources", index), f"join does not say how {name} is joined", hint)
        for name in self.join:
            if name not in further:
                hint = near_match(name, further) or "The first source is what the others join."
                yield Fault(("join", name), f"{name!r} is no further source", hint)

    def _label_faults(self) -> Iterator[Fault]:
        label = self.label.column
        if label in self.columns:
            yield Fault(
                ("columns", label),
                f"the label {label!r} stands in `columns`",
                "Take it out there: the model would read what it is to tell.",
            )
        if label == self.key:
            hint = "A row's name is not what the model is to tell."
            yield Fault(("label", "column"), f"the label {label!r} is also the key", hint)

    @property
    def steps(self) -> tuple[CleanStep, ...]:
        """The steps with `contract` first and `label` last where the file does not list them."""
        kinds = [step.kind for step in self.clean]
        first = () if "contract" in kinds else (CleanStep(contract=ContractCheck()),)
        last = () if "label" in kinds else (CleanStep(label=LabelMapping()),)
        return (*first, *self.clean, *last)
