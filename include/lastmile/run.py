"""A run and its stages: reuse keys, what each stage did, and the one way in which a stage is executed.

A stage is a plain function over typed values. `execute` looks for a result with the same reuse key,
else calls the stage in a scratch folder, stores what it made, and writes a `StageRecord` last, so that
a killed stage leaves nothing half done and the next try starts it anew or takes its result over.
"""

import errno
import hashlib
import importlib
import importlib.metadata
import logging
import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar, Protocol

import psutil
from pydantic import Field

import lastmile
from lastmile.errors import (
    ArtefactError,
    ExitCode,
    LastmileError,
    PermanentError,
    SettingsError,
    StoreError,
)
from lastmile.ledger.ledger import Ledger, StageRun
from lastmile.pipeline.base import Strict
from lastmile.pipeline.definition import Pipeline
from lastmile.settings import MOST_WORKERS, Settings
from lastmile.store import ArtefactRef, Store, digest_of

log = logging.getLogger(__name__)

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
"""What the operating system says of a full disk or a used-up quota."""


class StageName(StrEnum):
    """The stages, in order."""

    PREPARE = "prepare"
    TRAIN = "train"
    EVALUATE = "evaluate"
    PACKAGE = "package"
    DEPLOY = "deploy"


class RunOptions(Strict):
    """What one run wants; the trigger form and the command line give the same."""

    workers: int | None = Field(default=None, ge=1, le=MOST_WORKERS)
    """Workers of the gang; None: as the settings say."""
    force: bool = False
    """Do every stage anew, even where a result could be reused."""
    dry_run: bool = False
    """Judge the candidate, release nothing."""
    reason: str = ""
    requested_by: str = ""
    """Who or what started the run."""


class StageRecord(Strict):
    """What a stage of a run did: `runs/<pipeline>/<run_id>/<stage>.json` in the store."""

    pipeline: str
    run_id: str
    stage: StageName
    key: str
    """The reuse key."""
    artefact: ArtefactRef
    reused_from: str | None
    """The run whose result this stage took over; None where it did the work."""
    exit_code: ExitCode
    """DONE, REJECTED or NEEDS_HUMAN."""
    summary: dict[str, str | int | float | bool | None]
    """A few facts to show, in order."""
    started_at: datetime
    wall_seconds: float
    cpu_seconds: float
    peak_memory_bytes: int
    rows: int | None
    workers: int


@dataclass(frozen=True, kw_only=True)
class Context:
    """All that a stage may use."""

    pipeline: Pipeline
    run_id: str
    options: RunOptions
    settings: Settings
    store: Store
    ledger: Ledger

    def record(self, stage: StageName) -> StageRecord:
        """Return what an earlier stage of this run did.

        Raises:
            PermanentError: That stage has not been done in this run.
        """
        found = self.store.read_document(
            record_name(self.pipeline.name, self.run_id, stage), StageRecord
        )
        if found is None:
            raise PermanentError(
                f"Run {self.run_id!r} of {self.pipeline.name} has no result of stage {stage}.",
                f"Do it first: lastmile {stage} {self.pipeline.name} --run-id '{self.run_id}'",
            )
        return found

    @property
    def workers(self) -> int:
        """How many workers the gang has."""
        return self.options.workers or self.settings.workers


@dataclass(frozen=True, kw_only=True)
class Produced:
    """What a stage made: the files in its scratch folder, and this."""

    summary: Mapping[str, str | int | float | bool | None] = field(default_factory=dict)
    exit_code: ExitCode = ExitCode.DONE
    rows: int | None = None
    workers: int = 1


class Stage(Protocol):
    """One stage. Its class stands in `lastmile.<stage>.stage` and is called `Stage`."""

    code: ClassVar[tuple[str, ...]]
    """The modules and packages of `lastmile` whose source is the stage's version."""
    libraries: ClassVar[tuple[str, ...]]
    """The distributions whose version changes what the stage makes."""
    reusable: ClassVar[bool]
    """Whether an equal stage's result may be taken over. False for what acts on the world."""

    def inputs(self, context: Context, scratch: Path) -> Any:
        """Return what the result depends on, as JSON values.

        These are the digests of what comes in, and the part of the pipeline file that the stage
        reads. May leave files in the scratch folder for `execute`.
        """
        ...

    def execute(self, context: Context, scratch: Path, out: Path) -> Produced:
        """Do the work; all files in `out` become the artefact."""
        ...


def load_stage(name: StageName) -> Stage:
    """Import a stage's module, and what it needs, only now."""
    stage: Stage = importlib.import_module(f"lastmile.{name}.stage").Stage()
    return stage


def record_name(pipeline: str, run_id: str, stage: StageName) -> str:
    """Return the name of a stage's record in the store; any run id is safe in it."""
    return f"runs/{pipeline}/{safe_name(run_id)}/{stage}.json"


def safe_name(text: str) -> str:
    """Return a name for paths that tells any two texts apart."""
    kept = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in text)
    kept = kept.strip(".")[:80]
    if kept and kept == text:
        return kept
    return f"{kept}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def code_digest(modules: tuple[str, ...]) -> str:
    """SHA-256 over the source files of modules of this package: the code's version."""
    base = Path(lastmile.__file__).parent
    digest = hashlib.sha256()
    for module in sorted(modules):
        path = base / module.replace(".", "/")
        files = sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]
        for file in files:
            digest.update(file.relative_to(base).as_posix().encode() + b"\0")
            digest.update(file.read_bytes() + b"\0")
    return digest.hexdigest()


def execute(name: StageName, context: Context) -> StageRecord:
    """Do one stage of a run, or take over the result of an equal one.

    Raises:
        LastmileError: As the stage says. Nothing is stored but the timing in the ledger.
        BusyError: Another process does the same work at this moment.
    """
    stage, meter = load_stage(name), _Meter()
    try:
        with _scratch_folder(name, context.settings) as scratch:
            inputs = scratch / "inputs"
            inputs.mkdir()
            key = _reuse_key(stage, context, inputs)
            work = f"{name} of {context.pipeline.name}"
            with context.ledger.lease(f"work:{context.pipeline.name}:{name}:{key[:16]}", work):
                may_reuse = stage.reusable and not context.options.force
                record = _take_over(name, key, context, meter) if may_reuse else None
                if record is None:
                    record = _do(stage, name, key, context, scratch, meter)
                context.store.write_document(
                    record_name(context.pipeline.name, context.run_id, name), record
                )
    except LastmileError as error:
        _note_failure(context, name, meter, error)
        raise
    _note_timing(context, record)
    return record


def _reuse_key(stage: Stage, context: Context, inputs: Path) -> str:
    return digest_of(
        {
            "inputs": stage.inputs(context, inputs),
            "code": code_digest(stage.code),
            "libraries": {name: importlib.metadata.version(name) for name in stage.libraries},
        }
    )


def _do(
    stage: Stage, name: StageName, key: str, context: Context, scratch: Path, meter: "_Meter"
) -> StageRecord:
    out = scratch / "out"
    out.mkdir()
    produced = stage.execute(context, scratch / "inputs", out)
    record = StageRecord(
        pipeline=context.pipeline.name,
        run_id=context.run_id,
        stage=name,
        key=key,
        artefact=context.store.put_artefact(name, out),
        reused_from=None,
        exit_code=produced.exit_code,
        summary=dict(produced.summary),
        rows=produced.rows,
        workers=produced.workers,
        **meter.read(),
    )
    if stage.reusable:
        context.store.write_document(_reuse_name(context.pipeline.name, name, key), record)
    return record


def _take_over(name: StageName, key: str, context: Context, meter: "_Meter") -> StageRecord | None:
    """Return the record of an equal stage as this run's own, or None where there is none."""
    earlier = _find_reusable(name, key, context)
    if earlier is None:
        return None
    log.info(
        "Reused the result of run %s: nothing that %s reads has changed.", earlier.run_id, name
    )
    origin = earlier.reused_from or earlier.run_id
    return earlier.model_copy(
        update={"run_id": context.run_id, "reused_from": origin, **meter.read()}
    )


def _reuse_name(pipeline: str, stage: StageName, key: str) -> str:
    return f"reuse/{pipeline}/{stage}/{key}.json"


def _find_reusable(name: StageName, key: str, context: Context) -> StageRecord | None:
    try:
        found = context.store.read_document(
            _reuse_name(context.pipeline.name, name, key), StageRecord
        )
    except ArtefactError as error:
        log.warning("%s Not reused.", error)
        return None
    if found is None:
        return None
    if not context.store.has_artefact(found.artefact):
        log.warning("%s is missing or altered in the store; %s is done anew.", found.artefact, name)
        return None
    return found


@contextmanager
def _scratch_folder(name: StageName, settings: Settings) -> Iterator[Path]:
    """Give a folder that goes with the stage; what killed stages left behind goes too."""
    home = settings.home_path / "scratch"
    try:
        home.mkdir(parents=True, exist_ok=True)
        for left in home.iterdir():
            owner = left.name.split("-")[1]
            if owner.isdigit() and not psutil.pid_exists(int(owner)):
                shutil.rmtree(left, ignore_errors=True)
        folder = Path(tempfile.mkdtemp(prefix=f"{name}-{os.getpid()}-", dir=home))
    except OSError as error:
        raise _no_room(home, error) from error
    try:
        yield folder
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise _no_room(home, error) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _no_room(home: Path, error: OSError) -> LastmileError:
    kind = StoreError if error.errno in FULL else SettingsError
    return kind(
        f"There is no room to work in {home}: {error.strerror or error}.",
        "Free some space and see that this user may write there, or set LASTMILE_HOME.",
    )


def _note_timing(context: Context, record: StageRecord) -> None:
    context.ledger.add_stage_run(
        StageRun(
            pipeline=record.pipeline,
            run_id=record.run_id,
            stage=record.stage,
            started_at=record.started_at,
            wall_seconds=record.wall_seconds,
            cpu_seconds=record.cpu_seconds,
            peak_memory_bytes=record.peak_memory_bytes,
            rows=record.rows,
            workers=record.workers,
            reused=record.reused_from is not None,
            exit_code=record.exit_code,
        )
    )


def _note_failure(context: Context, name: StageName, meter: "_Meter", error: LastmileError) -> None:
    read = meter.read()
    try:
        context.ledger.add_stage_run(
            StageRun(
                pipeline=context.pipeline.name,
                run_id=context.run_id,
                stage=name,
                rows=None,
                workers=context.workers,
                reused=False,
                exit_code=error.exit_code,
                **read,
            )
        )
    except LastmileError as second:
        log.warning("The ledger did not take the stage's timing: %s", second)


class _Meter:
    """Time, processor time and peak memory of this process and the children it waited for."""

    def __init__(self) -> None:
        self._started_at = datetime.now(UTC)
        self._wall = time.monotonic()
        self._cpu = self._cpu_seconds()

    @staticmethod
    def _cpu_seconds() -> float:
        used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        return sum(usage.ru_utime + usage.ru_stime for usage in used)

    def read(self) -> dict[str, Any]:
        """Return the four figures under a record's names."""
        unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss: bytes there, KiB on Linux
        peak = max(
            resource.getrusage(who).ru_maxrss
            for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        )
        return {
            "started_at": self._started_at,
            "wall_seconds": round(time.monotonic() - self._wall, 3),
            "cpu_seconds": round(self._cpu_seconds() - self._cpu, 3),
            "peak_memory_bytes": peak * unit,
        }
