"""The target `process`: one long-lived model server per pipeline on this machine.

    serve/<pipeline>/pointer.json, server.json, server.log     the public server
    serve/<pipeline>/bundles/<digest>/                         verified copies
    serve/<pipeline>/preview/                                  the candidate's server, while it is tried

The pointer names the release that answers. Replacing it is the one step that releases a model.
"""

import json
import logging
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import psutil

from lastmile.deploy.bundles import discard, install
from lastmile.deploy.endpoint import Endpoint, Readiness
from lastmile.deploy.ports import reserve
from lastmile.deploy.server import (
    ServerProcess,
    ServerRecord,
    is_running,
    limits_of_environment,
    write_whole,
)
from lastmile.deploy.target import Assignment, Patience
from lastmile.errors import DeployError, LastmileError
from lastmile.run import code_digest
from lastmile.settings import Settings
from lastmile.store import Store

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.05
SETTLING_SECONDS = 1.0
"""A problem that a server reports may be with what it was told before; from then on it is believed."""
PREVIEW_END_SECONDS = 2.0
PUBLIC_END_SECONDS = 30.0
"""Longer than the server gives the requests it has in hand."""
DRAINING_SECONDS = 0.2
"""So long may the older of two servers take what had come to it before the younger listened."""
SERVER_CODE = ("bundle", "features", "serve", "errors")


class ProcessTarget:
    """Serves one pipeline from this machine."""

    name: ClassVar[str] = "process"

    def __init__(
        self,
        pipeline: str,
        settings: Settings,
        store: Store,
        patience: Patience | None = None,
        keeps_settings: bool = False,
    ) -> None:
        """Touch nothing yet.

        Args:
            pipeline: Its name.
            settings: The environment's.
            store: Where bundles come from.
            patience: Deadlines.
            keeps_settings: Leave a server that runs with the workers, address and limits that it was
                started with, whatever the environment says now.
        """
        self._keeps_settings = keeps_settings
        self._settings = settings
        self._store = store
        self._patience = patience or Patience()
        self._folder = serve_folder(pipeline, settings)
        self._bundles = self._folder / "bundles"
        self.public = ServerProcess(self._folder)
        self._preview = ServerProcess(self._folder / "preview")

    def check(self) -> None:
        """See that the public server runs or could be started.

        Raises:
            DeployError: Its port is taken.
            SettingsError: No port is free.
        """
        if self.public.process() is None:
            reserve(self.public, self._settings)

    def assigned(self) -> Assignment | None:
        """Return what the pointer names; None where there is none that can be read."""
        return read_pointer(self.public.pointer)

    @contextmanager
    def preview(self, assignment: Assignment) -> Iterator[Endpoint]:
        """Serve a release on a port of its own while the body runs.

        Raises:
            DeployError: It does not become ready.
            ArtefactError: Its bundle is missing or altered.
        """
        self._preview.end(PREVIEW_END_SECONDS)
        self._point(self._preview, assignment)
        alone = ServerRecord(host="127.0.0.1", port=0, limits=self._limits())
        process = self._preview.start(alone)
        try:
            deadline = time.monotonic() + self._patience.start
            endpoint = self._preview.endpoint(process, self._patience.start)
            while not _serves(ready := endpoint.readiness(), assignment):
                if not is_running(process):
                    raise self._preview.ended()
                if ready is not None and ready.problem is not None:
                    raise DeployError(
                        f"The candidate cannot be served: {ready.problem}",
                        self._preview.last_words(),
                    )
                if time.monotonic() > deadline:
                    raise DeployError(
                        f"The candidate is not ready after {self._patience.start:.3g} s.",
                        self._preview.last_words(),
                    )
                time.sleep(LOOK_SECONDS)
            yield endpoint
        finally:
            self._preview.end(PREVIEW_END_SECONDS)

    def switch(self, assignment: Assignment) -> None:
        """Point the public server at a release, and start it where it does not run.

        A server that runs older code or was set up otherwise gets a successor, once a preview has shown
        that it would start. It takes the port over, and the older one ends when it answers. In all other
        cases the server swaps the model between two requests.

        Raises:
            DeployError: The server cannot be started, or its port is taken.
            ArtefactError: The bundle is missing or altered in the store.
        """
        install(self._store, assignment.bundle, self._bundles)
        process = self.public.process()
        if process is None or self.assigned() != assignment:
            self._point(self.public, assignment)
        code = code_digest(SERVER_CODE)
        record = self.public.record()
        if process is not None and record is not None:
            if self.public.others(process):  # a deploy was killed while this one took the port over
                self._took_over(process, Endpoint(record.host, record.port), assignment)
                self.public.end_others(process, PUBLIC_END_SECONDS)
            wanted = record.model_copy(update={"code": code, **self._setup(record)})
            if wanted == record or not self._would_start(assignment):
                return
            if wanted.host == record.host and self._succeed(process, record, wanted, assignment):
                return
            self.public.end(PUBLIC_END_SECONDS)
        kept = self._kept(record) if process is not None else {}
        started = reserve(self.public, self._settings)
        setup = {"code": code, "limits": limits_of_environment()} | kept
        self.public.start(started.model_copy(update=setup))

    def wait_for(self, assignment: Assignment) -> str:
        """Wait until the public server answers with a release, so often that no worker is likely not to.

        Raises:
            DeployError: It does not in time, it ended, or it cannot load the bundle.
        """
        started, in_a_row = time.monotonic(), 0
        record, process = self.public.record(), self.public.process()
        if record is None or process is None:
            raise self.public.ended()
        endpoint = Endpoint(record.host, record.port)
        while True:
            ready = endpoint.readiness()
            in_a_row = in_a_row + 1 if _serves(ready, assignment) else 0
            if in_a_row >= 3 * record.workers - 2:  # a fresh connection each: any worker may answer
                return endpoint.address
            if not is_running(process):
                raise self.public.ended()
            waited = time.monotonic() - started
            if ready is not None and ready.problem is not None and waited > SETTLING_SECONDS:
                raise DeployError(
                    f"The server cannot serve version {assignment.version}: {ready.problem}",
                    self.public.last_words(),
                )
            if waited > self._patience.switch:
                raise DeployError(
                    f"{endpoint.address} does not answer with version {assignment.version} after "
                    f"{self._patience.switch:.3g} s.",
                    self.public.last_words(),
                )
            if not in_a_row:
                time.sleep(LOOK_SECONDS)

    def withdraw(self) -> None:
        """End the public server and forget the pointer; the port stays the pipeline's."""
        self.public.end(PUBLIC_END_SECONDS)
        self.public.pointer.unlink(missing_ok=True)

    def stop(self) -> None:
        """End every server of the pipeline; the pointer stays, so that it can come back."""
        self._preview.end(PREVIEW_END_SECONDS)
        self.public.end(PUBLIC_END_SECONDS)

    def tidy(self, keep: Collection[str]) -> None:
        """End a preview that was left behind; delete bundles but these and the one that is served."""
        self._preview.end(PREVIEW_END_SECONDS)
        assigned = self.assigned()
        discard(self._bundles, {*keep, *([assigned.bundle] if assigned else [])})

    def _would_start(self, assignment: Assignment) -> bool:
        """Try a server of today's code; one that answers is not given up for one that would not."""
        try:
            with self.preview(assignment):
                return True
        except LastmileError as error:
            log.warning("The server goes on with its older code. %s %s", error.headline, error.hint)
            return False

    def _succeed(
        self,
        old: psutil.Process,
        record: ServerRecord,
        wanted: ServerRecord,
        assignment: Assignment,
    ) -> bool:
        """Let a new server take the port over, and end the old one once the new one answers.

        Returns:
            Whether it did. Where not, the old one has the port again.
        """
        try:
            new = self.public.start(wanted, beside=True)
            if self._took_over(new, Endpoint(wanted.host, wanted.port), assignment):
                self.public.end_others(new, PUBLIC_END_SECONDS)
                return True
            log.warning("No server could take the port over. %s", self.public.last_words())
        except DeployError as error:
            log.warning("%s %s", error.headline, error.hint)
        self.public.write_record(record)
        self.public.end_others(old, 0)
        return False

    def _took_over(self, new: psutil.Process, endpoint: Endpoint, assignment: Assignment) -> bool:
        """Wait for a new server's own answer: once it listens, new connections come to it alone."""
        deadline = time.monotonic() + self._patience.start
        while not (self.public.listens(new) and _serves(endpoint.readiness(), assignment)):
            if not is_running(new) or time.monotonic() > deadline:
                return False
            time.sleep(LOOK_SECONDS)
        time.sleep(DRAINING_SECONDS)
        return is_running(new) and _serves(endpoint.readiness(), assignment)

    def _setup(self, record: ServerRecord) -> dict[str, Any]:
        """Return how a server that runs is to be set up."""
        return self._kept(record) or {
            "host": self._settings.serve_host,
            "workers": self._settings.serve_workers,
            "limits": limits_of_environment(),
        }

    def _kept(self, record: ServerRecord | None) -> dict[str, Any]:
        """Return how a server that runs was set up, if that is to be left; else nothing."""
        if record is None or not self._keeps_settings:
            return {}
        return record.model_dump(include={"host", "workers", "limits"})

    def _limits(self) -> dict[str, str]:
        record = self.public.record()
        return record.limits if record and self._keeps_settings else limits_of_environment()

    def _point(self, server: ServerProcess, assignment: Assignment) -> None:
        folder = install(self._store, assignment.bundle, self._bundles)
        value = {
            "name": assignment.name,
            "version": assignment.version,
            "release": assignment.release,
            "bundle": str(folder),
        }
        write_whole(server.pointer, json.dumps(value, indent=1).encode())


def serve_folder(pipeline: str, settings: Settings) -> Path:
    """Return the folder of a pipeline's servers."""
    return settings.home_path / "serve" / pipeline


def read_pointer(path: Path) -> Assignment | None:
    """Return what a pointer names; None where there is none that can be read."""
    try:
        value = json.loads(path.read_bytes())
        return Assignment(
            value["name"], value["version"], value["release"], Path(value["bundle"]).name
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _serves(ready: Readiness | None, assignment: Assignment) -> bool:
    return (
        ready is not None
        and ready.is_ready
        and (ready.release, ready.version) == (assignment.release, assignment.version)
    )
