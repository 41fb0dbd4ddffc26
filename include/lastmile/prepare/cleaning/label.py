"""Cleaning step `label`: from the label's spellings to classes or numbers."""

import difflib
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar

from lastmile.errors import DataError, PipelineFileError
from lastmile.pipeline.base import Strict

if TYPE_CHECKING:
    from pandas import Series

    from lastmile.pipeline.data import Label
    from lastmile.prepare.rows import Rows, StepReport

MOST_SHOWN = 8
WHOLE_NUMBER = re.compile(r"([+-]?\d+)\.0+")
"""As pandas writes a whole number whose column has a gap."""


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
        from lastmile.prepare.columns import listed

        label = rows.data.label
        spellings = _as_known(rows.frame[label.column], label)
        if rows.task == "regression":
            numbers = _targets(spellings, label)
        else:
            rows.classes, numbers = _class_numbers(spellings, label, rows.task)
            report.about = listed(
                (f"{i} is {name}" for i, name in enumerate(rows.classes)), MOST_SHOWN
            )
        is_known = numbers.notna()
        if not is_known.any():
            raise _nothing_maps(spellings, label, _is_normalised(rows))
        rows.set_value(LABEL, numbers)
        reason = f"{label.column}: not a number" if rows.task == "regression" else (
            f"{label.column}: no known label")  # fmt: skip
        missing = spellings.isna().to_numpy()
        unknown = ~is_known.to_numpy() & ~missing
        rows.set_aside([(missing, f"{label.column}: no label"), (unknown, reason)], report)
        if rows.task != "regression" and rows.frame[LABEL].nunique() < 2:
            raise _single_class(rows, label)


def _as_known(spellings: "Series[str]", label: "Label") -> "Series[str]":
    """Return the spellings, a whole number's as `label` would write it: 1.0 and 1 are one label."""
    known = {*(label.map or ()), *(label.classes or ())}
    renamed = {}
    for seen in spellings.dropna().unique():
        match = WHOLE_NUMBER.fullmatch(seen)
        if match and seen not in known:
            renamed[seen] = match[1]
    return spellings.replace(renamed) if renamed else spellings


def _is_normalised(rows: "Rows") -> bool:
    """Whether a `text` step before this one changes the label's spelling."""
    for step in rows.data.steps:
        if step.label is not None:
            return False
        if step.text is not None and rows.data.label.column in step.text.columns:
            return True
    return False


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

    from lastmile.prepare.columns import listed

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
            f"`label.map` leads to {listed(sorted(odd), MOST_SHOWN)}, which is no class "
            f"({listed(classes, MOST_SHOWN)}).",
            "Map to the classes, or to their numbers from 0.",
        )
    if task == "binary" and len(classes) != 2 and (label.map or label.classes):
        raise PipelineFileError(
            f"A binary task has two classes; `label` names {listed(classes, MOST_SHOWN)}.",
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


def _nothing_maps(spellings: "Series[str]", label: "Label", is_normalised: bool) -> DataError:
    from lastmile.prepare.columns import listed

    wanted = [str(s) for s in (label.map or label.classes or ())]
    where = "label.map" if label.map else "label.classes"
    known = f" `{where}` knows {listed(map(repr, wanted), MOST_SHOWN)}." if wanted else ""
    near = _near_spellings(_most_frequent(spellings), wanted)
    found = "; ".join(f"{seen!r} looks like {name!r}" for seen, name in near.items())
    if not near:
        advice = ""
    elif is_normalised:  # the data can no longer be brought to what the file says
        advice = f" {found}: the `text` step made it so, write it so in `{where}` too."
    elif all(_folded(seen) == _folded(name) for seen, name in near.items()):
        advice = f" {found}: a `text` step brings spellings together."
    else:
        advice = f" {found}: a slip?"
    return DataError(
        f"No value of the label {label.column!r} can be used: it holds {_shown(spellings)}.",
        f"Put the spellings of the data into `label.map`.{known}{advice}",
    )


def _near_spellings(seen: Iterable[str], wanted: list[str]) -> dict[str, str]:
    """Return for each spelling of the data the one that the file may have meant, where there is one."""
    folded = {_folded(name): name for name in wanted}
    near = {s: difflib.get_close_matches(_folded(s), folded, n=1) for s in seen}
    return {s: folded[match[0]] for s, match in near.items() if match}


def _folded(text: str) -> str:
    return " ".join(text.split()).lower()


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
