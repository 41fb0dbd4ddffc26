"""Where each joined row came from, so that a row set aside can be found again where it stands."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lastmile.prepare.sources.acquired import RawRows, with_gaps

if TYPE_CHECKING:
    from pandas import DataFrame, Index, Series

Positions = npt.NDArray[np.int64]

NOWHERE = -1


@dataclass(frozen=True)
class Part:
    """What one source gave to the joined rows."""

    source: str
    rows: RawRows
    positions: Positions
    """For each joined row its position in the source; NOWHERE where it has no partner there."""


@dataclass(frozen=True)
class Origin:
    """All sources, the leading one first."""

    parts: tuple[Part, ...]

    @property
    def leading_rows(self) -> int:
        """How many rows the first source gave, before any join."""
        return len(self.parts[0].rows.frame)

    def raw(self, rows: "Index[int]", names: Sequence[str]) -> "DataFrame":
        """Return the values of some joined rows as they came."""
        import pandas as pd

        columns = {}
        for name in names:
            part = next(part for part in self.parts if name in part.rows.frame.columns)
            columns[name] = taken(part.rows.frame[name], part.positions[rows])
        return pd.DataFrame(columns).set_axis(rows)

    def places(self, rows: "Index[int]") -> "DataFrame":
        """Return where some joined rows stand: by source its line, and file, or its row."""
        import pandas as pd

        columns = {}
        for part in self.parts:
            for name, values in part.rows.places.items():
                if name != "file" or len(values.cat.categories) > 1:
                    columns[f"{part.source}.{name}"] = taken(values, part.positions[rows])
        return pd.DataFrame(columns).set_axis(rows)

    def tell(self, row: int) -> str:
        """Say where one joined row stands, for a message."""
        found = []
        for part in self.parts:
            if part.positions[row] != NOWHERE:
                place = part.rows.places.iloc[part.positions[row]]
                in_file = "file" in place
                found.append(
                    f"{place['file']}:{place['line']}"
                    if in_file
                    else f"{part.source} row {place['row']}"
                )
        return " with ".join(found)


def taken(values: "Series[Any]", at: Positions) -> "Series[Any]":
    """Return the values at some positions, missing at NOWHERE; none of them is widened."""
    import pandas as pd

    if (at == NOWHERE).any():
        values = with_gaps(values)
    return pd.Series(values.array.take(at, allow_fill=True), name=values.name)
