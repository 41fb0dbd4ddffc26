"""The live model: loaded from the bundle that the pointer names, and replaced while requests go on.

The pointer is a small JSON file that deploying replaces whole (by rename). A thread looks at it, loads a
new bundle beside the old one and swaps one reference; a request takes that reference once, so all of its
answer comes from one version.
"""

import json
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lastmile.bundle.predictor import Predictor
from lastmile.errors import ArtefactError, LastmileError
from lastmile.features.schema import RecordError
from lastmile.serve.errors import NotReadyError
from lastmile.serve.example import example_record

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.1
"""How often the pointer is looked at."""
RETRY_SECONDS = 2.0
"""How often a bundle that could not be loaded is tried again."""
_NEVER_SEEN = (-1, -1, -1)


@dataclass(frozen=True, slots=True)
class Pointer:
    """Which bundle answers, and as what."""

    name: str
    version: int
    release: int
    bundle: Path


@dataclass(frozen=True, slots=True)
class Model:
    """One loaded version."""

    pointer: Pointer
    predictor: Predictor

    @property
    def name(self) -> str:
        """The pipeline's name."""
        return self.pointer.name

    @property
    def version(self) -> int:
        """The version in the registry."""
        return self.pointer.version

    @property
    def version_text(self) -> str:
        """The version, as a header has it."""
        return str(self.pointer.version)


def read_pointer(path: Path) -> Pointer:
    """Read a pointer.

    Raises:
        ArtefactError: It is missing or is no pointer.
    """
    hint = "`lastmile deploy` writes it: name, version, release and the bundle's folder, as JSON."
    try:
        value = json.loads(path.read_bytes())
        name, version, release = value["name"], value["version"], value["release"]
        bundle = Path(value["bundle"])
    except OSError as error:
        raise ArtefactError(
            f"The pointer {path} cannot be read: {error.strerror}.", hint
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise ArtefactError(f"{path} is no pointer to a bundle: {error!r}.", hint) from error
    if not (isinstance(name, str) and name and type(version) is int and type(release) is int):
        raise ArtefactError(f"{path} is no pointer to a bundle: {value!r:.200}.", hint)
    return Pointer(name, version, release, bundle)


def load_model(pointer: Pointer) -> Model:
    """Load the bundle and let it predict once, so that the first client waits no longer than others.

    Raises:
        ArtefactError: The bundle cannot be used, or does not predict.
    """
    predictor = Predictor.load(pointer.bundle)
    hint = "Train again, or point to an earlier release: lastmile rollback."
    try:
        scores = predictor.scores(np.zeros((2, predictor.transform.encoding.width), np.float32))
    except Exception as error:  # the runtime's own errors share no other base class
        raise ArtefactError(f"The model in {pointer.bundle} does not run: {error}", hint) from error
    if scores.shape != (2, predictor.signature.width) or not np.isfinite(scores).all():
        raise ArtefactError(
            f"The model in {pointer.bundle} answered two plain records with {scores.tolist()}, "
            f"where {predictor.signature.width} finite values each are expected.",
            hint,
        )
    try:
        predictor.predict([example_record(predictor.transform)])
    except RecordError as error:  # an unusual contract; the model itself has run above
        log.info("The example record does not suit the model: %s", error)
    return Model(pointer, predictor)


class LiveModel:
    """Holds the model that answers now."""

    def __init__(self, pointer: Path, on_swap: Callable[[Model], None] = lambda _: None) -> None:
        """Load nothing yet.

        Args:
            pointer: The pointer's file.
            on_swap: Called with each model that begins to answer.
        """
        self._path = pointer
        self._on_swap = on_swap
        self._model: Model | None = None
        self._seen: tuple[int, int, int] | None = _NEVER_SEEN
        self._problem: LastmileError | None = None
        self._retry_at = 0.0
        self._stop = threading.Event()
        self._watcher: threading.Thread | None = None
        self._refreshing = threading.Lock()

    @property
    def model(self) -> Model:
        """The model that answers now. Ask once per request.

        Raises:
            NotReadyError: None has been loaded yet.
        """
        if (model := self._model) is not None:
            return model
        why = self._problem.headline if self._problem else "It is being loaded."
        raise NotReadyError(f"No model is ready: {why}", "Try again once GET /readyz answers 200.")

    @property
    def loaded(self) -> Model | None:
        """The model that answers now, if any."""
        return self._model

    @property
    def problem(self) -> LastmileError | None:
        """Why the bundle that the pointer names does not answer; None where it does."""
        return self._problem

    def refresh(self) -> None:
        """Look at the pointer; load and swap where it names another bundle than the live one."""
        with self._refreshing:
            seen = self._look()
            failed = self._problem is not None
            if seen == self._seen and not (failed and time.monotonic() >= self._retry_at):
                return
            self._seen = seen
            try:
                self._follow(read_pointer(self._path))
            except LastmileError as error:
                self._note(error)

    def _look(self) -> tuple[int, int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def _follow(self, pointer: Pointer) -> None:
        if self._model is None or self._model.pointer != pointer:
            started = time.monotonic()
            self._model = load_model(pointer)
            self._on_swap(self._model)
            log.info("%s version %d (release %d) answers now; loaded in %.0f ms", pointer.name,
                     pointer.version, pointer.release, 1000 * (time.monotonic() - started))  # fmt: skip
        self._problem = None

    def _note(self, error: LastmileError) -> None:
        if self._problem is None or self._problem.headline != error.headline:
            kept = "none" if self._model is None else f"version {self._model.version}"
            log.error("%s %s Still answering: %s.", error.headline, error.hint, kept)
        self._problem = error
        self._retry_at = time.monotonic() + RETRY_SECONDS

    def watch(self) -> threading.Thread:
        """Follow the pointer from a thread of its own until `stop`."""
        self._watcher = threading.Thread(target=self._watch, name="follow-pointer", daemon=True)
        self._watcher.start()
        return self._watcher

    def _watch(self) -> None:
        while not self._stop.wait(LOOK_SECONDS):
            try:
                self.refresh()
            except Exception:  # the thread must outlive a bug, or no later release would answer
                log.exception("Following the pointer failed, by a bug")

    def stop(self) -> None:
        """End the thread; wait for a bundle that it is loading."""
        self._stop.set()
        if self._watcher is not None:
            self._watcher.join()
