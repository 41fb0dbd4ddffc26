"""Which columns a pipeline reads, what each of them is, and raw values made typed.

Numbers, whole numbers and booleans become float64 with NaN where missing, categories text, timestamps
UTC. A value that is not what its column's type says becomes missing too, but is remembered: the
contract sends its row to quarantine, whatever a step before it did.
"""

import difflib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from lastmile.errors import DataError
from lastmile.pipeline.data import ColumnRules, Data
from lastmile.prepare.sources.acquired import canonical_text, with_gaps

if TYPE_CHECKING:
    from pandas import DataFrame, Series

MAX_WHOLE = 2.0**53
"""From here on a float64, which is what the model reads, cannot tell whole numbers apart."""
MIN_SHARE_OF_TYPE = 0.95
"""A column is of a type, when no contract says so, if so many of its values are."""
MAX_GUESSED_CATEGORIES = 100
"""A text column of more, most of them different, is a name or a remark and no category."""

TRUE = ("true", "1", "1.0", "yes", "y", "t")
"""1.0: pandas writes a boolean column with a gap so."""
FALSE = ("false", "0", "0.0", "no", "n", "f")
LEADING_ZERO = r"0\d"
"""A text that starts so is a code (a postcode, an account): as a number it would lose its zeros."""
ISO_DATE = r"\d{4}-\d{2}-\d{2}"

NOT_OF_TYPE = {
    "integer": "not a number", "number": "not a number", "boolean": "not true or false",
    "timestamp": "not an ISO 8601 time",
}  # fmt: skip
NOT_FINITE = "not a finite number"
TOO_LARGE = "a whole number beyond 2^53"


class Typed(NamedTuple):
    """A column made typed."""

    column: "Series[Any]"
    wrong: "Series[str]"
    """Why, for each value (by its row's label) that is not of the type; no others."""


def resolve_rules(data: Data, frame: "DataFrame") -> dict[str, ColumnRules]:
    """Return the contract's columns that the data has, in order; without a contract, look.

    Raises:
        DataError: A required column, the key or the label is not in the data.
    """
    names = [str(name) for name in frame.columns]
    needed = [name for name, rules in data.columns.items() if rules.required]
    needed += [n for n in (data.key, data.label.column, data.split.column) if n is not None]
    if absent := [name for name in dict.fromkeys(needed) if name not in names]:
        near = {name: difflib.get_close_matches(name, names, n=1) for name in absent}
        found = "; ".join(f"{name} (there is {near[name][0]})" if near[name] else name
                          for name in absent)  # fmt: skip
        raise DataError(
            f"The data lacks {found}. It has {listed(names)}.",
            "Correct the name in `columns`, `key`, `label` or `split`, or say `required: false`.",
        )
    if data.columns:
        return {name: rules for name, rules in data.columns.items() if name in names}
    return _guess_rules(data, frame)


def _guess_rules(data: Data, frame: "DataFrame") -> dict[str, ColumnRules]:
    told_apart = {data.key, data.label.column}
    if data.split.by == "group":
        told_apart.add(data.split.column)  # a model that knows the group learns it by heart
    rules = {}
    for name in frame.columns:
        if name not in told_apart and frame[name].notna().any():
            rules[str(name)] = ColumnRules(type=_guess_type(frame[name]))
    if not rules:
        raise DataError(
            "No column is left that a model could learn from.",
            "Besides key and label the data needs columns with values.",
        )
    return rules


def _guess_type(values: "Series[Any]") -> Any:
    import pandas as pd

    known = values.dropna()
    if pd.api.types.is_bool_dtype(values.dtype):
        return "boolean"
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        return "timestamp"
    if pd.api.types.is_numeric_dtype(values.dtype):
        numbers = known.astype("float64")
        return "integer" if (numbers % 1 == 0).all() else "number"
    text = canonical_text(known).str.strip()
    numbers = parse_numbers(text)
    is_code = text.str.match(LEADING_ZERO).any()
    if numbers.notna().mean() >= MIN_SHARE_OF_TYPE and not is_code:
        return "integer" if (numbers.dropna() % 1 == 0).all() else "number"
    if text.str.lower().isin([*TRUE, *FALSE]).mean() >= MIN_SHARE_OF_TYPE:
        return "boolean"
    if text.str.match(ISO_DATE).mean() >= MIN_SHARE_OF_TYPE:
        return "timestamp"
    different = text.nunique()
    if different > MAX_GUESSED_CATEGORIES and different > len(text) / 2:
        raise DataError(
            f"Column {values.name!r} has {different} different texts in {len(text)} rows: "
            "a name or a remark, not a category.",
            "List in `columns` what the model may read, and leave this one out.",
        )
    return "category"


def make_typed(values: "Series[Any]", kind: str) -> Typed:
    """Make one raw column typed."""
    import pandas as pd

    if kind == "category":
        return Typed(canonical_text(values), pd.Series(dtype="str"))
    if kind == "timestamp":
        typed = _timestamps(values)
    elif kind == "boolean":
        typed = _booleans(values)
    else:
        typed = _numbers(values)
    unread = values.index[values.notna() & typed.isna()]
    wrong = pd.Series(NOT_OF_TYPE[kind], index=unread, dtype="str")
    if kind in ("integer", "number"):
        infinite = typed.index[typed.abs() == float("inf")]
        wrong = pd.concat([wrong, pd.Series(NOT_FINITE, index=infinite, dtype="str")])
        typed = typed.where(typed.abs() != float("inf"))
    if kind == "integer":
        large = typed.index[typed.abs() >= MAX_WHOLE]
        wrong = pd.concat([wrong, pd.Series(TOO_LARGE, index=large, dtype="str")])
    return Typed(typed, wrong)


def _numbers(values: "Series[Any]") -> "Series[float]":
    import pandas as pd

    if not pd.api.types.is_numeric_dtype(values.dtype):
        return parse_numbers(canonical_text(values).str.strip())
    return values.astype("float64")


def parse_numbers(text: "Series[str]") -> "Series[float]":
    """Return stripped texts as float64, NaN where one is no number.

    Arrow's cast takes a sixth of the time of `pandas.to_numeric`, but refuses all for a single wrong
    value; only then pandas is asked which ones are wrong.
    """
    import pandas as pd
    import pyarrow as pa

    def cast(values: "Series[str]") -> "Series[float]":
        array = pa.array(values.array, from_pandas=True).cast(pa.float64())
        return pd.Series(array.to_numpy(zero_copy_only=False), values.index, name=values.name)

    text = text.astype("str")
    try:
        return cast(text)
    except pa.ArrowInvalid:
        numbers = pd.to_numeric(text, errors="coerce").astype("float64")
    try:
        return cast(text.where(numbers.notna()))
    except pa.ArrowInvalid:  # pandas reads a form that Arrow does not
        return numbers


def _booleans(values: "Series[Any]") -> "Series[float]":
    import numpy as np

    text = canonical_text(values).str.strip().str.lower()
    found = np.select([text.isin(TRUE), text.isin(FALSE)], [1.0, 0.0], np.nan)
    return type(values)(found, index=values.index, name=values.name)


def _timestamps(values: "Series[Any]") -> "Series[Any]":
    import pandas as pd

    if not pd.api.types.is_datetime64_any_dtype(values.dtype):
        values = canonical_text(values).str.strip()
    return pd.to_datetime(values, utc=True, errors="coerce", format="ISO8601")


def sortable(values: "Series[Any]") -> "Series[Any]":
    """Return values whose order is what a reader would expect: numbers, or moments.

    Texts must all be numbers or all ISO 8601 moments: as mere text v9 comes after v10 and 02.03.2026
    before 2024-01-01, and the wrong row would stay without a word.

    Raises:
        DataError: One is neither, or they are of both kinds.
    """
    import pandas as pd

    if not isinstance(values.dtype, pd.StringDtype):
        return values
    known = values.dropna().str.strip()
    numbers = pd.to_numeric(known, errors="coerce")
    times = _timestamps(known)
    if numbers.notna().all():
        return with_gaps(numbers).reindex(values.index)
    if times.notna().all():
        return times.reindex(values.index)
    # Named is the first value that is not what most are.
    kind, found = max(("a number", numbers), ("an ISO 8601 time", times),
                      key=lambda pair: pair[1].notna().sum())  # fmt: skip
    raise DataError(
        f"Rows cannot be ordered by {values.name!r}: {known[found.isna()].iloc[0]!r} is not {kind}.",
        "Write all its values as numbers, or as in 2026-01-31T08:00. Or give the column its `type` in "
        "`columns`: then the contract sends such rows to quarantine.",
    )


def near_match(name: str, names: Iterable[str]) -> str:
    """Return a hint that names the closest of some names, or all of them."""
    names = list(names)
    near = difflib.get_close_matches(name, names, n=1)
    return f"Did you mean {near[0]!r}?" if near else f"There are {listed(names)}."


def listed(names: Iterable[str], most: int = 30) -> str:
    """Return some names in one line, cut with a count where they are many."""
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
