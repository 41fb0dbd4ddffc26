"""The `data` part of a pipeline file: sources, contract, cleaning, label, split."""

from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    Field,
    GetJsonSchemaHandler,
    model_serializer,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema

from lastmile.pipeline.base import Name, Strict, exactly_one
from lastmile.prepare.cleaning.contract import ContractCheck
from lastmile.prepare.cleaning.duplicates import Duplicates
from lastmile.prepare.cleaning.label import LabelMapping
from lastmile.prepare.cleaning.missing import Missing
from lastmile.prepare.cleaning.outliers import Outliers
from lastmile.prepare.cleaning.text import TextNormalisation
from lastmile.prepare.sources.csv import CsvSource
from lastmile.prepare.sources.python import PythonSource
from lastmile.prepare.sources.sql import SqlSource


class Source(Strict):
    """One table of raw rows: a name, and one of the kinds."""

    name: Name
    """How `join` and the reports call it."""
    csv: CsvSource | None = None
    """One CSV file or several that share a header."""
    sql: SqlSource | None = None
    """A query over a connection."""
    python: PythonSource | None = None
    """A Python function that yields data frames."""

    _one_kind = model_validator(mode="after")(exactly_one("csv", "sql", "python"))

    @property
    def kind(self) -> str:
        """The kind's name."""
        return next(k for k in ("csv", "sql", "python") if getattr(self, k) is not None)

    @property
    def reader(self) -> CsvSource | SqlSource | PythonSource:
        """The kind's settings, whose `read` gives the rows."""
        return self.csv or self.sql or self.python  # type: ignore[return-value]


class ColumnRules(Strict):
    """The contract of one column. A row that breaks it goes to quarantine."""

    type: Literal["integer", "number", "boolean", "category", "timestamp"]
    """What its values are."""
    min: float | None = None
    """The least value allowed."""
    max: float | None = None
    """The greatest value allowed."""
    allowed: tuple[str, ...] | None = Field(default=None, min_length=1)
    """The categories allowed; not given: any."""
    required: bool = True
    """Whether the column must exist in the data."""
    nullable: bool = True
    """Whether a single value may be missing. A cleaning step then has to deal with it."""
    feature: bool = True
    """Whether the model reads it. A timestamp is never read by the model."""

    @model_validator(mode="after")
    def _rules_fit_type(self) -> "ColumnRules":
        if self.type not in ("integer", "number") and (
            self.min is not None or self.max is not None
        ):
            raise ValueError(f"min and max are for integer and number, not for {self.type}")
        if self.allowed is not None and self.type != "category":
            raise ValueError(f"allowed is for category, not for {self.type}")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min:g} is above max {self.max:g}")
        return self


class Label(Strict):
    """What the model is to tell."""

    column: str
    """The column that holds it."""
    map: dict[str, str | int | float] | None = None
    """From the spellings in the data to the classes; a spelling that is not here is no label and
    sends its row to quarantine. For a binary task the classes are 0 and 1."""
    classes: tuple[str, ...] | None = None
    """How the classes are called in answers, in the order of their numbers. Not given: the labels."""


def _settings_of(field: FieldInfo) -> type[Strict]:
    """Return the model behind `Kind | None`."""
    kind: type[Strict] = get_args(field.annotation)[0]
    return kind


class CleanStep(Strict):
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

    _one_kind = model_validator(mode="after")(
        exactly_one("contract", "duplicates", "text", "missing", "outliers", "label")
    )

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


def _sums_to_one(split: "Split") -> "Split":
    if split.by != "time" and abs(split.train + split.validation + split.test - 1) > 1e-9:
        total = split.train + split.validation + split.test
        raise ValueError(f"train, validation and test add up to {total:g}, not to 1")
    if split.by in ("group", "time") and split.column is None:
        raise ValueError(f"a split by {split.by} needs `column`")
    if split.by == "time" and (split.validation_from is None or split.test_from is None):
        raise ValueError("a split by time needs `validation_from` and `test_from`")
    return split


class SplitSettings(Strict):
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
    seed: int = 0
    """Another seed gives another split."""


Split = Annotated[SplitSettings, AfterValidator(_sums_to_one)]


class Data(Strict):
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

    @model_validator(mode="after")
    def _names_fit(self) -> "Data":
        names = [source.name for source in self.sources]
        if len(set(names)) < len(names):
            raise ValueError("two sources have the same name")
        unjoined = set(names[1:]) - set(self.join)
        if unjoined:
            raise ValueError(f"join does not say how {', '.join(sorted(unjoined))} is joined")
        unknown = set(self.join) - set(names[1:])
        if unknown:
            raise ValueError(f"join names {', '.join(sorted(unknown))}, which is no further source")
        if self.label.column in self.columns:
            raise ValueError(
                f"the label {self.label.column!r} stands in `columns`; take it out there"
            )
        return self

    @property
    def steps(self) -> tuple[CleanStep, ...]:
        """The steps with `contract` first and `label` last where the file does not list them."""
        kinds = [step.kind for step in self.clean]
        first = () if "contract" in kinds else (CleanStep(contract=ContractCheck()),)
        last = () if "label" in kinds else (CleanStep(label=LabelMapping()),)
        return (*first, *self.clean, *last)
