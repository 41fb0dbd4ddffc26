"""Stage `prepare`: from raw rows to a dataset."""

import logging
from pathlib import Path
from typing import Any, ClassVar

from lastmile.artefacts.dataset import KEY, SourceRows
from lastmile.errors import PermanentError
from lastmile.prepare.clean import Cleaned, clean
from lastmile.prepare.files import write_document, write_quarantine, write_splits
from lastmile.prepare.join import join_sources
from lastmile.prepare.report import write_report
from lastmile.prepare.sources.acquired import Acquired, Place, RawRows
from lastmile.run import Context, Produced

log = logging.getLogger(__name__)


class Stage:
    """Acquire, check, clean, label, split; write the dataset and what was done to it."""

    code: ClassVar[tuple[str, ...]] = ("prepare", "features", "artefacts.dataset", "pipeline.data")
    libraries: ClassVar[tuple[str, ...]] = ("numpy", "pandas", "pyarrow", "sqlalchemy")
    reusable: ClassVar[bool] = True

    def __init__(self) -> None:
        self._acquired: list[Acquired] = []

    def inputs(self, context: Context, scratch: Path) -> Any:
        """Look at every source once: files are digested, databases and functions are read."""
        self._acquired = [
            source.reader.acquire(Place(source.name, context.settings, scratch))
            for source in context.pipeline.data.sources
        ]
        return {
            "sources": [[source.name, source.digest] for source in self._acquired],
            "task": context.pipeline.task,
            "data": context.pipeline.data.model_dump(mode="json"),
        }

    def execute(self, context: Context, scratch: Path, out: Path) -> Produced:
        """Clean what `inputs` acquired, and write the artefact's files.

        Raises:
            DataError: The data cannot be used; nothing is stored.
        """
        if not self._acquired:
            raise PermanentError(
                "Stage prepare has acquired nothing.", "Call `inputs` before `execute`."
            )
        pipeline = context.pipeline
        read: dict[str, RawRows] = {}
        sources: list[SourceRows] = []
        warnings: list[str] = []
        for source in self._acquired:
            rows: RawRows = source.load()
            read[source.name] = rows
            log.info("Source %s (%s): %d rows.", source.name, source.kind, len(rows.frame))
            for warning in rows.warnings:
                log.warning(warning)
            warnings += rows.warnings
            sources.append(
                SourceRows(
                    name=source.name, kind=source.kind, rows=len(rows.frame), digest=source.digest
                )
            )
        cleaned = clean(pipeline.data, pipeline.task, join_sources(read, pipeline.data.join))
        if shared := _shared_keys(cleaned, pipeline.data.key):
            log.warning(shared)
            warnings.append(shared)
        write_splits(out, cleaned.rows)
        write_quarantine(out / "quarantine.csv", cleaned.rows)
        dataset = write_document(out, pipeline, cleaned, tuple(sources))
        report = write_report(out, dataset, cleaned, warnings)
        return Produced(
            summary={
                **dict(dataset.rows.items()),
                "dropped": report["rows"]["dropped"],
                "quarantined": dataset.quarantined,
            },
            rows=report["rows"]["raw_rows"],
        )


def _shared_keys(cleaned: Cleaned, key: str | None) -> str | None:
    """Say that several rows have one key, which is to name a row; None where each has its own."""
    if key is None:
        return None
    keys = cleaned.rows.frame[KEY]
    shared = keys[keys.duplicated(keep=False)]
    if shared.empty:
        return None
    return (
        f"{len(shared)} rows share their {key!r} with another, as {shared.iloc[0]!r}; all are kept. "
        "If it names a row, add a step `duplicates: {by: key}`."
    )
