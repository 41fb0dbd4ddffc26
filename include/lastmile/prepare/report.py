"""The report of a preparation: `report.json`, and `report.html` made of it."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lastmile.artefacts.dataset import LABEL, Dataset
from lastmile.prepare.clean import Cleaned, facts
from lastmile.prepare.page import page
from lastmile.prepare.rows import SPLITS

FORMAT = 1


def write_report(
    folder: Path, dataset: Dataset, cleaned: Cleaned, warnings: Sequence[str] = ()
) -> dict[str, Any]:
    """Write both files. No times in them: the same data gives the same report."""
    report = make_report(dataset, cleaned, warnings)
    (folder / "report.json").write_text(json.dumps(report, indent=1, allow_nan=False))
    (folder / "report.html").write_text(page(report), encoding="utf-8")
    return report


def make_report(dataset: Dataset, cleaned: Cleaned, warnings: Sequence[str] = ()) -> dict[str, Any]:
    """Return the report as JSON values; `warnings` are those of the sources."""
    return {
        "format": FORMAT,
        "pipeline": dataset.pipeline,
        "task": dataset.task,
        "sources": [source.model_dump() for source in dataset.sources],
        "warnings": list(warnings),
        "rows": facts(cleaned),
        "splits": _splits(cleaned),
        "steps": [asdict(step) for step in cleaned.steps],
        "columns": [asdict(distribution) for distribution in cleaned.distributions],
    }


def _splits(cleaned: Cleaned) -> dict[str, Any]:
    rows, counts = cleaned.rows, cleaned.rows.class_counts()
    found: dict[str, Any] = {}
    for code, split in enumerate(SPLITS):
        here = rows.splits == code
        found[split] = {"rows": int(here.sum())}
        if counts:
            found[split]["classes"] = counts[split]
        else:
            targets = rows.frame[LABEL].to_numpy()[here]
            found[split]["target"] = {
                "min": float(targets.min()), "mean": float(targets.mean()),
                "max": float(targets.max()),
            }  # fmt: skip
    return found
