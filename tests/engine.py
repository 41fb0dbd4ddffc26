"""A real Docker engine of the tests' own, and a base image bootstrapped from Debian's packages.

The engine has its own storage, socket and bridge, publishes ports on loopback only and leaves the
machine's firewall alone. The base and the server image that was built on it are kept outside the tree,
in LASTMILE_CACHE (default ~/.cache/lastmile), each by what it was made from.
"""

import fcntl
import itertools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from tarfile import TarFile, TarInfo

import docker
import psutil
import pytest

from lastmile.clients.docker import Engine
from lastmile.package.build import KEY_DIGITS, PREFIX, Builder
from lastmile.package.recipes import SERVER, collect
from lastmile.settings import Settings

ROOT = Path(__file__).parent.parent
SUITE = "trixie"
BASE, BUILD = f"lastmile/base:{SUITE}", f"lastmile/build:{SUITE}"
START_SECONDS = 60
ROOM_BYTES = 6_000_000_000
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
KEPT_SERVERS = 3
LEFT_OUT = (
    "usr/share/doc",
    "usr/share/man",
    "usr/share/locale",
    "var/cache/apt",
    "var/lib/apt/lists",
    "var/log",
)
"""What Debian's own slim images leave out, too."""


def cache_folder() -> Path:
    """Return where what is slow to make is kept. Looked up at import: no test changes it."""
    return _CACHE


_CACHE = Path(os.environ.get("LASTMILE_CACHE") or Path.home() / ".cache" / "lastmile")


def why_no_engine() -> str | None:
    """Say what is missing on this machine, or None where an engine can be had."""
    if os.geteuid() != 0:
        return "a Docker engine of the tests' own needs root"
    for program, package in (
        ("dockerd", "docker.io"),
        ("debootstrap", "debootstrap"),
        ("ip", "iproute2"),
    ):
        if shutil.which(program) is None:
            return f"no {program} here (Debian: apt install {package})"
    return None


@dataclass(frozen=True)
class RunningEngine:
    """A started engine."""

    url: str
    process: subprocess.Popen[bytes]
    folder: Path

    def stop(self) -> None:
        """End it, as a crash or an administrator would."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=60)


@contextmanager
def running_engine() -> Iterator[RunningEngine]:
    """Start an engine without any image; it ends with the block and leaves nothing."""
    folder = Path(tempfile.mkdtemp(prefix="lastmile-engine-", dir=_place_for_storage()))
    with _bridge() as bridge:
        engine = RunningEngine(f"unix://{folder}/docker.sock", _start(folder, bridge), folder)
        try:
            _wait_for(engine)
            yield engine
        finally:
            engine.process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                engine.process.wait(timeout=60)
            engine.process.kill()
            _unmount(folder)
            shutil.rmtree(folder, ignore_errors=True)


def load_base(engine: Engine, url: str) -> None:
    """Give an engine the base image, and the one that packages are installed in."""
    with _cached(f"base-{SUITE}.tar") as path:
        if not path.exists():
            part = path.with_suffix(".part")
            _bootstrap(engine, url, part)
            part.rename(path)
        else:
            with path.open("rb") as archive:
                engine.load_image(archive)
    _make_build_image(engine)


def build_server(settings: Settings, engine: Engine) -> None:
    """Build the server image, or take it from the cache where the same inputs have made it."""
    base = engine.find_image(BASE)
    assert base is not None
    key = collect(SERVER, settings.root).key(base.id, engine.platform)
    with _cached(f"server-{key[:KEY_DIGITS]}") as folder:
        archive = folder / "engine.tar"
        if archive.exists():
            with archive.open("rb") as file:
                engine.load_image(file)
            shutil.copytree(folder / "images", settings.images_path)
            return
        Builder(settings, engine).build(SERVER)
        folder.mkdir()
        shutil.copytree(settings.images_path, folder / "images")
        part = folder / "engine.part"
        with part.open("wb") as file:
            engine.save_image(f"{PREFIX}/server:{key[:KEY_DIGITS]}", file)
        part.rename(archive)
        _forget_old_servers()


def engine_settings(root: Path) -> Settings:
    """Return settings under which images are built from this checkout, into a test's own home."""
    return Settings(
        root=ROOT, home=root / "home", base_image=BASE, build_image=BUILD, build_network="host"
    )


@pytest.fixture(scope="session")
def docker_engine() -> Iterator[RunningEngine]:
    """An engine with the base image, for a conftest to take over."""
    if missing := why_no_engine():
        pytest.skip(missing)
    with running_engine() as running:
        with Engine(running.url) as engine:
            load_base(engine, running.url)
        yield running


@pytest.fixture
def engine(docker_engine: RunningEngine) -> Iterator[Engine]:
    """A client of the engine, for a conftest to take over."""
    with Engine(docker_engine.url) as connected:
        yield connected


@pytest.fixture(scope="session")
def server_settings(
    docker_engine: RunningEngine, tmp_path_factory: pytest.TempPathFactory
) -> Settings:
    """Settings in whose home the server base is, and the engine has it too."""
    settings = engine_settings(tmp_path_factory.mktemp("images"))
    with Engine(docker_engine.url) as connected:
        build_server(settings, connected)
    return settings


def _place_for_storage() -> str:
    """Return a folder in memory where there is enough: a disk takes long to forget so many small files."""
    memory = psutil.virtual_memory().available
    with suppress(OSError):
        if min(memory, shutil.disk_usage("/dev/shm").free) > ROOM_BYTES:
            return "/dev/shm"
    return "/var/tmp"


@contextmanager
def _cached(name: str) -> Iterator[Path]:
    """Give the place of something in the cache, to nobody else for as long as the body runs."""
    _CACHE.mkdir(parents=True, exist_ok=True)
    with (_CACHE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield _CACHE / name


_NUMBERS = itertools.count()


@contextmanager
def _bridge() -> Iterator[str]:
    """Make a network bridge for the containers; only this machine reaches them."""
    name = f"lm{os.getpid() % 1_000_000}-{next(_NUMBERS)}"
    for third in range(16, 250):
        subnet = f"10.213.{third}.1/24"
        if f"10.213.{third}." not in _run("ip", "-4", "-o", "addr", "show"):
            break
    _run("ip", "link", "add", name, "type", "bridge")
    try:
        _run("ip", "addr", "add", subnet, "dev", name)
        _run("ip", "link", "set", name, "up")
        yield name
    finally:
        _run("ip", "link", "delete", name)


def _unmount(folder: Path) -> None:
    """Take away what the engine leaves mounted: the name of the network that builds ran in."""
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for place in reversed(mounts):
        if place.startswith(f"{folder}/"):
            _run("umount", place)


def _start(folder: Path, bridge: str) -> subprocess.Popen[bytes]:
    command = [
        "dockerd", "--host", f"unix://{folder}/docker.sock", "--data-root", f"{folder}/data",
        "--exec-root", f"{folder}/exec", "--pidfile", f"{folder}/pid", "--bridge", bridge,
        "--iptables=false", "--ip-masq=false", "--ip", "127.0.0.1",
        "--containerd-namespace", bridge, "--containerd-plugins-namespace", f"{bridge}-plugins",
    ]  # fmt: skip
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)


def _wait_for(running: RunningEngine) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and running.process.poll() is None:
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(running.url.removeprefix("unix://")) == 0:
                return
        time.sleep(0.1)
    log = (running.folder / "log").read_text(errors="replace")
    raise AssertionError(f"the Docker engine did not start: {log[-2000:]}")


def _bootstrap(engine: Engine, url: str, target: Path) -> None:
    root = Path(tempfile.mkdtemp(prefix="lastmile-bootstrap-", dir="/var/tmp"))
    try:
        _run("debootstrap", "--variant=minbase", "--include=python3,python3-venv,ca-certificates",
             SUITE, str(root))  # fmt: skip
        for name in LEFT_OUT:
            shutil.rmtree(root / name)
            (root / name).mkdir()
        (root / "var/lib/apt/lists/partial").mkdir()
        with subprocess.Popen(
            ["tar", "-C", str(root), "--numeric-owner", "--exclude=./dev/*", "-c", "."],
            stdout=subprocess.PIPE,
        ) as tar:
            assert tar.stdout is not None
            repository, _, tag = BASE.partition(":")
            with closing(docker.APIClient(url)) as api:
                api.import_image_from_data(tar.stdout, repository, tag)
        assert tar.returncode == 0
    finally:
        shutil.rmtree(root, ignore_errors=True)
    with target.open("wb") as file:
        engine.save_image(BASE, file)


def _make_build_image(engine: Engine) -> None:
    """Let pip, where packages are installed, trust what this machine trusts: a proxy's certificate, say."""
    dockerfile = f"FROM {BASE}\nCOPY certificates {CERTIFICATES}\nENV PIP_CERT={CERTIFICATES}\n"
    context = BytesIO()
    with TarFile(fileobj=context, mode="w") as archive:
        for name, content in (
            ("Dockerfile", dockerfile.encode()),
            ("certificates", CERTIFICATES.read_bytes()),
        ):
            entry = TarInfo(name)
            entry.size, entry.mode = len(content), 0o644
            archive.addfile(entry, BytesIO(content))
    context.seek(0)
    engine.build_image(context, tag=BUILD, arguments={}, labels={})


def _forget_old_servers() -> None:
    servers = sorted(_CACHE.glob("server-*/"), key=lambda folder: folder.stat().st_mtime)
    for folder in servers[:-KEPT_SERVERS]:
        shutil.rmtree(folder, ignore_errors=True)
        folder.with_name(f"{folder.name}.lock").unlink(missing_ok=True)


def _run(*command: str) -> str:
    done = subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"},
    )
    assert done.returncode == 0, f"{' '.join(command)}: {done.stdout[-1000:]} {done.stderr[-1000:]}"
    return done.stdout
