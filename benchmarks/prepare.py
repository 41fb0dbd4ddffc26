"""Preparing's two hot paths, each beside its alternative, in one run.

`python -m benchmarks.prepare [--rows 2000000]`. Exact duplicates in two stages against
`DataFrame.drop_duplicates`, and the look at a CSV's structure against the parse by pandas that it guards.
The alternatives take turns; the best of three rounds counts. Both must give the same rows.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from benchmarks._report import show_table

from lastmile.prepare.cleaning.duplicates import exact_duplicates
from lastmile.prepare.sources.structure import check_structure

ROUNDS = 3


def table(rows: int) -> pd.DataFrame:
    """Return eleven columns of numbers and categories, a fiftieth of the rows twice."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            **{f"x{i}": random.normal(size=rows).round(4) for i in range(6)},
            **{f"n{i}": random.integers(0, 100, rows) for i in range(3)},
            "region": random.choice(["north", "south", "east", "west"], rows),
            "purpose": random.choice(["car", "house", "study"], rows),
        }
    )
    frame["x0"] += np.arange(rows)  # as a key would be: nearly every value once
    again = frame.sample(rows // 50, random_state=0)
    return pd.concat([frame, again], ignore_index=True)


def best(*candidates: Callable[[], Any]) -> list[float]:
    """Return each candidate's best time in seconds; they take turns."""
    times: list[list[float]] = [[] for _ in candidates]
    for _ in range(ROUNDS):
        for candidate, taken in zip(candidates, times, strict=True):
            started = time.perf_counter()
            candidate()
            taken.append(time.perf_counter() - started)
    return [min(taken) for taken in times]


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=2_000_000)
    rows = parser.parse_args().rows
    frame = table(rows)

    plain = frame.drop_duplicates()
    pd.testing.assert_frame_equal(frame[~exact_duplicates(frame)], plain)
    ours, theirs = best(lambda: frame[~exact_duplicates(frame)], frame.drop_duplicates)

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "table.csv"
        frame.to_csv(file, index=False)
        size = file.stat().st_size / 1e6
        look, parse = best(
            lambda: check_structure(file, ",", file.name), lambda: pd.read_csv(file, dtype="str")
        )

    print(f"{len(frame):,} rows, {frame.shape[1]} columns, {size:.0f} MB of CSV\n")
    rows_shown = (
        ("exact duplicates, against `drop_duplicates`", ours, theirs,
         f"{theirs / ours:.1f} times as fast"),
        ("look at the structure, against the parse it guards", look, parse,
         f"{look / parse:.0%} on top"),
    )  # fmt: skip
    show_table(
        ("what", "ours s", "alternative s", "ratio"),
        [(what, f"{a:.2f}", f"{b:.2f}", ratio) for what, a, b, ratio in rows_shown],
    )


if __name__ == "__main__":
    main()
