"""Cleaning step `text`: bring spellings together."""

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from lastmile.errors import PipelineFileError
from lastmile.pipeline.base import Strict

if TYPE_CHECKING:
    from pandas import Series

    from lastmile.features.steps import TextStep
    from lastmile.prepare.rows import Rows, StepReport


class TextNormalisation(Strict):
    """Outer blanks off, inner blanks to one, one case; an empty text becomes missing."""

    columns: tuple[str, ...]
    """The category columns, the label among them if wanted."""
    case: Literal["lower", "upper", "keep"] = "lower"
    """Which case."""

    needs_split: ClassVar[bool] = False

    def apply(self, rows: "Rows", report: "StepReport") -> None:
        """Normalise the texts.

        Raises:
            PipelineFileError: A column holds no text.
        """
        from lastmile.features.steps import TextStep

        columns = rows.present(self.columns)
        report.about = f"{self.case} case: {', '.join(columns)}"
        step = TextStep(columns=tuple(n for n in columns if n in rows.schema.names), case=self.case)
        for name in columns:
            if name in rows.rules and rows.rules[name].type != "category":
                raise PipelineFileError(
                    f"Step `text`: column {name!r} is of type {rows.rules[name].type}, not category.",
                    "Leave it out; blanks around numbers and times are ignored anyway.",
                )
            before = rows.frame[name]
            after = normalised(before, step)
            is_changed = before.notna() & (after.isna() | (after != before))
            report.changed[name] = int(is_changed.sum())
            rows.set_value(name, after)
            if rows.has_overlay(name):
                rows.set_cleaned(name, normalised(rows.value(name), step))
        if step.columns:
            rows.steps.append(step)


def normalised(values: "Series[Any]", step: "TextStep") -> "Series[str]":
    """Normalise every different text once, by the code that the server runs."""
    import pandas as pd

    from lastmile.prepare.sources.acquired import canonical_text

    codes, uniques = pd.factorize(canonical_text(values))
    spellings = pd.Series([*map(step.normalise, uniques), None], dtype="str")
    # The code of a missing value is -1, which takes the last.
    found: Series[str] = pd.Series(spellings.array.take(codes), index=values.index, dtype="str")
    return found
