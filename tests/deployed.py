"""A service to deploy to, without any training: real store, ledger, MLflow and server processes."""

import atexit
import hashlib
import http.client
import json
import os
import random
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import psutil

from bundles import write_bundle
from lastmile.artefacts.passport import Candidate, Released
from lastmile.artefacts.verdict import Golden
from lastmile.clients.mlflow import Tracking
from lastmile.deploy import service
from lastmile.deploy.ports import is_free
from lastmile.deploy.process import ProcessTarget, serve_folder
from lastmile.deploy.rollout import CHAMPION, Origin, assignment_of, deploy
from lastmile.deploy.server import ServerProcess
from lastmile.deploy.target import Patience
from lastmile.ledger.ledger import Ledger, Release
from lastmile.settings import Settings
from lastmile.store import Store

PIPELINE = "toy"
GOLDEN = ({"x": 1.0}, {"x": -2.5})
PATIENCE = Patience(start=15, smoke=5, switch=15)


def free_ports(count: int = 5) -> str:
    """Return a range of ports that nobody listens on, as LASTMILE_SERVE_PORTS has it."""
    while True:
        first = random.randrange(20_000, 30_000)
        if all(is_free("127.0.0.1", port) for port in range(first, first + count)):
            return f"{first}-{first + count - 1}"


def plain_answers(bias: float) -> tuple[dict[str, float], ...]:
    """What the toy model with this bias answers to the golden records."""
    return tuple({"value": record["x"] + bias} for record in GOLDEN)


@dataclass
class Service:
    """One pipeline's service, in a root of its own. Picklable, so that a child can deploy to it."""

    root: Path
    ports: str = field(default_factory=free_ports)
    patience: Patience = PATIENCE

    @property
    def settings(self) -> Settings:
        return Settings(root=self.root, home=Path("home"), serve_ports=self.ports)

    @property
    def store(self) -> Store:
        return Store(self.settings.store, self.settings.home_path / "cache")

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.settings.ledger)

    @property
    def registry(self) -> Tracking:
        return Tracking(self.settings.mlflow, self.settings.home_path)

    @property
    def folder(self) -> Path:
        return serve_folder(PIPELINE, self.settings)

    @property
    def public(self) -> ServerProcess:
        return ServerProcess(self.folder)

    def package(self, bias: float, **changes: Any) -> tuple[Candidate, Origin]:
        """Store, register and package the model x + bias, judged against today's champion.

        Args:
            bias: Tells the models apart.
            changes: To the bundle (`bundle=...`), the golden predictions, the candidate, the run.
        """
        made = {"bias": bias, **changes.get("bundle", {})}
        folder = write_bundle(self.root / "bundles" / str(bias), **made)
        for name, content in changes.get("extra", {}).items():
            (folder / name).write_bytes(content)
        bundle = self.store.put_artefact("train", folder).digest
        champion = self.ledger.champion(PIPELINE)
        passport = changes.get("passport", b"{}")
        candidate = Candidate(
            pipeline=PIPELINE,
            version=self.registry.register(PIPELINE, bundle, folder, None, {}),
            bundle=bundle,
            passport=hashlib.sha256(passport).hexdigest(),
            champion=changes.get("champion", champion.bundle if champion else None),
            golden=Golden(
                records=changes.get("records", GOLDEN),
                answers=changes.get("answers", plain_answers(bias)),
            ),
        )
        out = self.root / "packages" / f"{bias}-{candidate.version}"
        out.mkdir(parents=True, exist_ok=True)
        (out / "candidate.json").write_text(candidate.model_dump_json())
        (out / "passport.json").write_bytes(passport)
        package = self.store.put_artefact("package", out).digest
        return candidate, Origin(
            package=package,
            run_id=changes.get("run_id", f"run {bias}"),
            reason=changes.get("reason", ""),
            requested_by=changes.get("requested_by", ""),
        )

    def put(self, candidate: Candidate, origin: Origin, force: bool = False) -> Released:
        """Deploy what was packaged."""
        with service.open_deployment(
            PIPELINE, self.settings, self.store, self.ledger, self.patience
        ) as at:
            return deploy(at, candidate, origin, force)

    def release(self, bias: float, **changes: Any) -> Released:
        """Package and deploy."""
        return self.put(*self.package(bias, **changes))

    def rollback(self, to_version: int | None = None, **told: str) -> Released:
        return service.rollback(
            PIPELINE, self.settings, self.store, self.ledger,
            to_version=to_version, patience=self.patience, **told,
        )  # fmt: skip

    def bring_up(self) -> service.Served:
        return service.bring_up(PIPELINE, self.settings, self.store, self.ledger)

    def take_down(self) -> service.Served:
        return service.take_down(PIPELINE, self.settings, self.store, self.ledger)

    def answer(self) -> tuple[int, float]:
        """Ask the public server; return version and value for x = 0."""
        answer = service.ask(PIPELINE, [{"x": 0.0}], self.settings)
        return answer["version"], answer["predictions"][0]["value"]

    def champion(self) -> Release:
        found = self.ledger.champion(PIPELINE)
        assert found is not None
        return found

    def snapshot(self) -> dict[str, Any]:
        """Return what a failed deploy must leave as it was."""
        record = self.public.record()
        return {
            "pointer": self.public.pointer.read_bytes() if self.public.pointer.exists() else None,
            "pid": record.pid if record else None,
            "champion": self.ledger.champion(PIPELINE),
            "alias": self.registry.version_of(PIPELINE, CHAMPION),
            "bundles": sorted(path.name for path in self.folder.glob("bundles/*")),
            "store": sorted(str(p) for p in (self.settings.home_path / "store").rglob("*")),
        }

    def check_consistent(self) -> None:
        """Ledger, registry, pointer, server and folder all say the same."""
        champion = self.champion()
        statuses = [release.status for release in self.ledger.releases(PIPELINE)]
        assert statuses.count("serving") == 1
        assert "deploying" not in statuses
        target = ProcessTarget(PIPELINE, self.settings, self.store)
        assert target.assigned() == assignment_of(champion)
        assert self.registry.version_of(PIPELINE, CHAMPION) == champion.version
        assert self.answer()[0] == champion.version
        assert ServerProcess(self.folder / "preview").process() is None
        assert len(self.masters()) == 1
        assert not list(self.folder.rglob(".*"))  # no half-written file or folder

    def masters(self) -> list[psutil.Process]:
        """Return the server processes of this root that lead their session."""
        found = []
        for process in psutil.process_iter():
            try:
                if (
                    Path(process.cwd()).is_relative_to(self.root)
                    and os.getsid(process.pid) == process.pid
                ):
                    found.append(process)
            except (psutil.Error, ProcessLookupError):
                continue
        return found

    def crash(self) -> None:
        """Kill the public server with its workers, as a power cut does."""
        process = self.public.process()
        assert process is not None
        family = [process, *process.children(recursive=True)]
        for member in family:
            member.kill()
        psutil.wait_procs(family, timeout=10)


@contextmanager
def new_service(root: Path) -> Iterator[Service]:
    """Give a service to which nothing has been deployed; its servers end with the block."""
    made = Service(root)
    made.settings.home_path.mkdir()
    copy_empty_registry(made.settings.home_path)
    try:
        yield made
    finally:
        ProcessTarget(PIPELINE, made.settings, made.store).stop()
        shutil.rmtree(made.folder, ignore_errors=True)


def copy_empty_registry(home: Path) -> None:
    """Give a home an MLflow that knows nothing yet."""
    shutil.copy(_empty_registry(), home / "mlflow.db")


@cache
def _empty_registry() -> Path:
    """Make MLflow's database once: its migrations take seconds."""
    folder = Path(tempfile.mkdtemp(prefix="lastmile-mlflow-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    Tracking(f"sqlite:///{folder / 'mlflow.db'}", folder).version_of(PIPELINE, CHAMPION)
    return folder / "mlflow.db"


def kill_at(place: object, step: str, after: bool) -> None:
    """Let this process be killed before or after a step: replaces a function of a module or class."""
    original = getattr(place, step)

    def die(*args: Any, **named: Any) -> None:
        if after:
            original(*args, **named)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(place, step, die)


class Traffic:
    """Clients that ask all along, one over one connection, one over a new one each time."""

    def __init__(self, port: int, values: Mapping[int, float]) -> None:
        self.failures: list[Any] = []
        self.versions: list[int] = []
        self._port, self._values, self._stop = port, values, threading.Event()

    def run(self, keep_alive: bool) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        body, headers = (
            json.dumps({"instances": [{"x": 0.0}]}),
            {"Content-Type": "application/json"},
        )
        while not self._stop.is_set():
            try:
                connection.request("POST", "/predict", body, headers)
                answer = connection.getresponse()
                self._note(answer.status, json.loads(answer.read()))
            except (OSError, http.client.HTTPException, ValueError) as error:
                self.failures.append(error)
                break  # one is too many, and a client that goes on at once leaves nobody any time
            if not keep_alive:
                connection.close()
        connection.close()

    def _note(self, status: int, value: Any) -> None:
        version = value.get("version")
        self.versions.append(version)
        if status != 200 or value["predictions"] != [{"value": self._values.get(version)}]:
            self.failures.append((status, value))

    @contextmanager
    def flowing(self) -> Iterator[None]:
        clients = [threading.Thread(target=self.run, args=(kind,)) for kind in (True, True, False)]
        for client in clients:
            client.start()
        try:
            yield
        finally:
            self._stop.set()
            for client in clients:
                client.join()
