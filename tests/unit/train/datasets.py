"""Datasets as prepare would hand them on, made straight from arrays."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lastmile.artefacts.dataset import KEY, LABEL, Dataset, SourceRows, write_dataset
from lastmile.errors import ExitCode
from lastmile.features.schema import Column, ColumnKind, Schema
from lastmile.features.steps import Step
from lastmile.features.transform import Cleaning, cleaning_to_json
from lastmile.ledger.ledger import Ledger
from lastmile.pipeline.definition import Pipeline
from lastmile.run import Context, RunOptions, StageName, StageRecord, record_name
from lastmile.settings import Settings
from lastmile.store import ArtefactRef, Store

Task = Literal["binary", "multiclass", "regression"]


def write_arrays(
    folder: Path,
    columns: dict[str, Any],
    labels: Sequence[float],
    task: Task = "binary",
    classes: tuple[str, ...] | None = ("no", "yes"),
    steps: tuple[Step, ...] = (),
) -> None:
    """Write a dataset artefact's files: 70 % training, 15 % validation, 15 % test.

    Columns of texts become categories, all others numbers.
    """
    rows = len(labels)
    part = np.arange(rows) % 20
    parts = {"train": part < 14, "validation": (part >= 14) & (part < 17), "test": part >= 17}
    kinds = {
        name: ColumnKind.CATEGORY if any(isinstance(v, str) for v in values) else ColumnKind.NUMBER
        for name, values in columns.items()
    }
    for name, mask in parts.items():
        chosen = np.flatnonzero(mask)
        arrays: dict[str, Any] = {
            column: pa.array([values[i] for i in chosen], from_pandas=True)
            for column, values in columns.items()
        }
        arrays[KEY] = pa.array([str(i) for i in chosen])
        arrays[LABEL] = pa.array([float(labels[i]) for i in chosen])
        pq.write_table(pa.table(arrays), folder / f"{name}.parquet")
    schema = Schema(tuple(Column(name, kind) for name, kind in kinds.items()))
    dataset = Dataset(
        pipeline="toy",
        task=task,
        classes=None if task == "regression" else classes,
        cleaning=cleaning_to_json(Cleaning(schema, steps)),
        rows={name: int(mask.sum()) for name, mask in parts.items()},
        quarantined=0,
        sources=(SourceRows(name="rows", kind="csv", rows=rows, digest="0" * 64),),
    )
    write_dataset(folder, dataset)


def put_dataset(context: Context, folder: Path) -> ArtefactRef:
    """Store a dataset folder as what the run's prepare stage made."""
    ref = context.store.put_artefact(StageName.PREPARE, folder)
    record = StageRecord(
        pipeline=context.pipeline.name,
        run_id=context.run_id,
        stage=StageName.PREPARE,
        key="0" * 64,
        artefact=ref,
        reused_from=None,
        exit_code=ExitCode.DONE,
        summary={},
        started_at=datetime.now(UTC),
        wall_seconds=0.0,
        cpu_seconds=0.0,
        peak_memory_bytes=0,
        rows=None,
        workers=1,
    )
    name = record_name(context.pipeline.name, context.run_id, StageName.PREPARE)
    context.store.write_document(name, record)
    return ref


def two_moons(rows: int = 600, seed: int = 0) -> tuple[dict[str, Any], list[float]]:
    """Return columns and labels of two interleaved half circles, and a category that helps a little."""
    random = np.random.default_rng(seed)
    labels = np.arange(rows) % 2
    random.shuffle(labels)
    angle = random.uniform(0, np.pi, rows)
    x = np.where(labels, 1 - np.cos(angle), np.cos(angle)) + random.normal(0, 0.2, rows)
    y = np.where(labels, 0.5 - np.sin(angle), np.sin(angle)) + random.normal(0, 0.2, rows)
    hint = np.where(random.uniform(size=rows) < 0.8, labels, 1 - labels)
    words = ["left" if h else "right" for h in hint]
    columns = {"x": x.tolist(), "y": (100 * y + 7).tolist(), "side": words}
    return columns, labels.astype(float).tolist()


def context_in(
    root: Path,
    workers: int = 1,
    run_id: str = "run-1",
    task: Task = "binary",
    settings: dict[str, Any] | None = None,
    **train: Any,
) -> Context:
    """Make a context over a store and a ledger in the folder; keyword arguments go to `train`.

    As given it trains with all that could make a difference between gangs: dropout, weight decay,
    class weights, and a last batch that is smaller than the others.
    """
    given = {"checkpoint_seconds": 0, "barrier_seconds": 60} | (settings or {})
    made = Settings(root=root, home=Path("home"), **given)
    weights = None if task == "regression" else "balanced"
    pipeline = Pipeline.model_validate(
        {
            "name": "toy",
            "owner": "test-team",
            "task": task,
            "data": {
                "sources": [{"name": "rows", "csv": {"path": "rows.csv"}}],
                "label": {"column": "label"},
            },
            "train": {
                "model": {"units": [16, 8], "dropout": 0.2, "l2": 0.001},
                "optimizer": {"kind": "adam", "learning_rate": 0.01},
                "batch_size": 50,
                "epochs": 8,
                "class_weights": weights,
            }
            | train,
        }
    )
    return Context(
        pipeline=pipeline,
        run_id=run_id,
        options=RunOptions(workers=workers),
        settings=made,
        store=Store(made.store, made.home_path / "cache"),
        ledger=Ledger(made.ledger),
    )


def moons_in(root: Path, workers: int = 1, rows: int = 600, **options: Any) -> Context:
    """Make a context whose prepare stage handed on two moons."""
    context = context_in(root, workers, **options)
    folder = root / "dataset"
    folder.mkdir(exist_ok=True)
    write_arrays(folder, *two_moons(rows))
    put_dataset(context, folder)
    return context
