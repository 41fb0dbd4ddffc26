"""Cleaning step `label`: from the label's spellings to classes or numbers."""

import difflib
from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar

from lastmile.errors import DataError, PipelineFileError
from lastmile.pipeline.base import Strict

if TYPE_CHECKING:
    from pandas import Series

    from lastmile.pipeline.data import Label
    from lastmile.prepare.rows import Rows, StepReport

MOST_SHOWN = 8


class LabelMapping(Strict):
    """Map the label as `data.label` says; takes no settings of its own."""

    needs_split: ClassVar[bool] = False

    def apply(self, rows: "Rows", report: "StepReport") -> None:
        """Give each row its class number or target; rows without a label go to quarantine.

        Raises:
            DataError: No label maps, there is one class only, or too many rows have no label.
            PipelineFileError: `map` and `classes` do not fit each other or the task.
        """
        from lastmile.artefacts.dataset import LABEL

        label, spellings = rows.data.label, rows.frame[rows.data.label.column]
        if rows.task == "regression":
            numbers = _targets(spellings, label)
        else:
            rows.classes, numbers = _class_numbers(spellings, label, rows.task)
            report.about = ", ".join(f"{i} is {name}" for i, name in enumerate(rows.classes))
        is_known = numbers.notna()
        if not is_known.any():
            raise _nothing_maps(spellings, label)
        rows.set_value(LABEL, numbers)
        reason = f"{label.column}: not a number" if rows.task == "regression" else (
            f"{label.column}: no known label")  # fmt: skip
        missing = spellings.isna().to_numpy()
        unknown = ~is_known.to_numpy() & ~missing
        rows.set_aside([(missing, f"{label.column}: no label"), (unknown, reason)], report)
        if rows.task != "regression" and rows.frame[LABEL].nunique() < 2:
            raise _single_class(rows, label)


def _targets(spellings: "Series[str]", label: "Label") -> "Series[float]":
    from lastmile.prepare.columns import parse_numbers

    if label.map is not None:
        spellings = spellings.map({k: str(v) for k, v in label.map.items()})
    numbers = parse_numbers(spellings.astype("str").str.strip())
    return numbers.where(numbers.abs() != float("inf"))


def _class_numbers(
    spellings: "Series[str]", label: "Label", task: str
) -> tuple[tuple[str, ...], "Series[float]"]:
    """Return the classes' names, and each row's class number (missing where it has none)."""
    import pandas as pd

    known = sorted(spellings.dropna().unique().tolist(), key=_natural)
    mapping = {s: _name(v) for s, v in label.map.items()} if label.map else {s: s for s in known}
    targets = sorted(set(mapping.values()), key=_natural)
    if label.map is None and label.classes is None and task == "binary" and len(known) > 2:
        raise DataError(
            f"The label {label.column!r} has {len(known)} spellings, a binary task two classes: "
            f"{_shown(spellings)}.",
            "Say in `label.map` which spelling is 0 and which is 1.",
        )
    classes = label.classes or tuple(targets)
    numbers = {str(i) for i in range(len(classes))}
    by_number = label.map is not None and set(targets) <= numbers
    if label.map is not None and not by_number and (odd := set(targets) - set(classes)):
        raise PipelineFileError(
            f"`label.map` leads to {', '.join(sorted(odd))}, which is no class "
            f"({', '.join(classes)}).",
            "Map to the classes, or to their numbers from 0.",
        )
    if task == "binary" and len(classes) != 2 and (label.map or label.classes):
        raise PipelineFileError(
            f"A binary task has two classes; `label` names {', '.join(classes)}.",
            "Map to 0 and 1, or set `task: multiclass`.",
        )
    position = {name: float(i) for i, name in enumerate(classes)}
    found = {s: float(t) if by_number else position.get(t) for s, t in mapping.items()}
    return tuple(classes), pd.to_numeric(spellings.map(found)).astype("float64")


def _name(value: str | float) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value)


def _natural(text: str) -> tuple[int, float, str]:
    """Sort 2 before 10, and numbers before words."""
    try:
        return 0, float(text), text
    except ValueError:
        return 1, 0.0, text


def _nothing_maps(spellings: "Series[str]", label: "Label") -> DataError:
    wanted = [str(s) for s in (label.map or label.classes or ())]
    near = {
        seen: difflib.get_close_matches(seen.strip().lower(), [w.lower() for w in wanted], n=1)
        for seen in _most_frequent(spellings)
    }
    hints = [f"{seen!r} looks like {match[0]!r}" for seen, match in near.items() if match]
    expected = f" `label` knows {', '.join(map(repr, wanted[:MOST_SHOWN]))}." if wanted else ""
    return DataError(
        f"No value of the label {label.column!r} can be used: it holds {_shown(spellings)}.",
        f"Put the spellings of the data into `label.map`.{expected}"
        + (f" {'; '.join(hints)}: a `text` step brings spellings together." if hints else ""),
    )


def _single_class(rows: "Rows", label: "Label") -> DataError:
    from lastmile.artefacts.dataset import LABEL

    number = int(rows.frame[LABEL].iloc[0])
    name = rows.classes[number] if rows.classes else str(number)
    return DataError(
        f"All {len(rows)} rows have the same label, {label.column} = {name}.",
        "A model learns from differences: see that the source holds every class.",
    )


def _most_frequent(spellings: "Series[str]") -> Iterable[str]:
    return [str(s) for s in spellings.value_counts().head(MOST_SHOWN).index]


def _shown(spellings: "Series[str]") -> str:
    counts = spellings.fillna("").value_counts()
    shown = ", ".join(f"{s!r} ({n})" if s != "" else f"nothing ({n})"
                      for s, n in counts.head(MOST_SHOWN).items())  # fmt: skip
    more = len(counts) - MOST_SHOWN
    return shown + (f" and {more} more" if more > 0 else "")
