"""What earlier stages would have handed on, made straight from values: datasets and stage records."""

import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lastmile.artefacts.dataset import KEY, LABEL, Dataset, SourceRows, write_dataset
from lastmile.artefacts.passport import Passport
from lastmile.artefacts.verdict import Decision
from lastmile.bundle.signature import Task
from lastmile.errors import ExitCode
from lastmile.features.schema import Column
from lastmile.features.steps import Step
from lastmile.features.transform import Cleaning, Schema, cleaning_to_json
from lastmile.run import Context, StageName, StageRecord, record_name
from lastmile.store import ArtefactRef

Rows = tuple[Mapping[str, Sequence[Any]], Sequence[float]]
"""Columns, and the labels beside them."""


def write_dataset_files(
    folder: Path,
    columns: tuple[Column, ...],
    train: Rows,
    test: Rows,
    *,
    task: Task = "binary",
    classes: tuple[str, ...] | None = ("no", "yes"),
    steps: tuple[Step, ...] = (),
    keys: Mapping[str, Sequence[str]] | None = None,
) -> Path:
    """Write a dataset whose validation split is its training split; keys are made up by default."""
    folder.mkdir(parents=True, exist_ok=True)
    splits = {"train": train, "validation": train, "test": test}
    for name, (values, labels) in splits.items():
        arrays = {c.name: _array(c, values[c.name]) for c in columns}
        made_up = [f"{name}-{i}" for i in range(len(labels))]
        arrays[KEY] = pa.array((keys or {}).get(name, made_up), pa.string())
        arrays[LABEL] = pa.array([float(label) for label in labels], pa.float64())
        pq.write_table(pa.table(arrays), folder / f"{name}.parquet")
    write_dataset(
        folder,
        Dataset(
            pipeline="toy",
            task=task,
            classes=classes,
            cleaning=cleaning_to_json(Cleaning(Schema(columns), steps)),
            rows={name: len(labels) for name, (_, labels) in splits.items()},
            quarantined=0,
            sources=(SourceRows(name="rows", kind="csv", rows=len(train[1]), digest="0" * 64),),
        ),
    )
    return folder


def _array(column: Column, values: Sequence[Any]) -> pa.Array:
    return pa.array(list(values), pa.float64() if column.kind.is_numeric else pa.string())


def put_package(context: Context, bundle: ArtefactRef, dataset: ArtefactRef) -> ArtefactRef:
    """Store a package whose passport names bundle and dataset."""
    passport = Passport(
        pipeline=context.pipeline.name, version=1, bundle=bundle.digest, files={},
        dataset=dataset.digest, verdict="0" * 64, decision=Decision.PROMOTE, metrics=(), sources=(),
        rows={}, definition={}, code="0" * 64, commit=None, libraries={}, run_id="run-0",
        requested_by="", reason="", created_at="2026-03-01T02:10:00+00:00",
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "passport.json").write_text(passport.model_dump_json())
        return context.store.put_artefact("package", Path(folder))


def put_stage(
    context: Context, stage: StageName, folder: Path, exit_code: ExitCode = ExitCode.DONE
) -> ArtefactRef:
    """Store a folder as what a stage of the context's run made."""
    ref = context.store.put_artefact(stage, folder)
    record = StageRecord(
        pipeline=context.pipeline.name,
        run_id=context.run_id,
        stage=stage,
        key="0" * 64,
        artefact=ref,
        reused_from=None,
        exit_code=exit_code,
        summary={},
        started_at=datetime.now(UTC),
        wall_seconds=0.0,
        cpu_seconds=0.0,
        peak_memory_bytes=0,
        rows=None,
        workers=1,
    )
    name = record_name(context.pipeline.name, context.run_id, stage)
    context.store.write_document(name, record)
    return ref
