"""Images: the size of the server base; a model's image made and sent, against the Docker engine's own way.

`python -m benchmarks.images`, as root with Debian's docker.io, docker-registry and debootstrap. Both ways
put the same model on the same base, which the registry has already, and send it there. Ours is measured
beside one pass of SHA-256 over the model's files, which no way that names content by digest can save, and
beside one plain upload of the same bytes, which is the registry's own time.
"""

import hashlib
import io
import random
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import httpx
from benchmarks._report import Goal, show_goals, show_table

TESTS = Path(__file__).parent.parent / "tests"
MODELS = {"0.1 MB": 100_000, "50 MB": 50_000_000, "200 MB": 200_000_000}
ROUNDS = 3


def write_model(folder: Path, size: int, seed: int) -> Path:
    """Write a bundle's files; how they came to be does not matter here, weights do not shrink."""
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(random.Random(seed).randbytes(size))
    for name in ("transform.json", "signature.json", "training.json"):
        (folder / name).write_text('{"a": 1}' * 1000)
    return folder


def hashing(folder: Path) -> float:
    """Return the seconds that one pass of SHA-256 over the files takes."""
    started = time.perf_counter()
    for path in folder.iterdir():
        with path.open("rb") as file:
            hashlib.file_digest(file, "sha256")
    return time.perf_counter() - started


class Bench:
    """An engine, a registry, and in both the server base."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        from engine import build_server, engine_settings, load_base, running_engine
        from lastmile.clients.docker import Engine
        from lastmile.clients.registry import Registry
        from lastmile.clients.registry_address import RegistryAddress
        from lastmile.oci.base import open_base
        from lastmile.package.build import Builder
        from lastmile.package.recipes import SERVER
        from registry import running_registry

        running = stack.enter_context(running_engine())
        self.engine = stack.enter_context(Engine(running.url))
        load_base(self.engine, running.url)
        settings = engine_settings(folder)
        build_server(settings, self.engine)
        self.host = stack.enter_context(running_registry(folder / "registry")).host
        address = RegistryAddress.parse(f"{self.host}/models")
        self.registry = stack.enter_context(Registry(address))
        built = Builder(settings, self.engine, self.registry).build(SERVER)
        self.tag, self.folder = built.image, folder
        self.base = open_base(settings, self.registry)
        # The engine's first push of the base is not what is measured.
        self.theirs(write_model(folder / "first", 1000, 0), "first")

    def ours(self, model: Path, name: str) -> str:
        """Make and send a model's image, its provenance and SBOM; return the image's digest."""
        from lastmile.package.image import publish_model
        from model_images import make_passport

        scratch = self.folder / f"scratch-{name}"
        scratch.mkdir()
        passport = make_passport(model)
        sent = publish_model(passport, "f" * 64, model, self.base, self.registry, scratch)
        return sent.digest

    def put(self, model: Path) -> float:
        """Return the seconds that the registry takes for the model's bytes in one plain upload."""
        content = b"".join(path.read_bytes() for path in sorted(model.iterdir()))
        content += model.name.encode()  # else it would be there already
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        with httpx.Client(base_url=f"http://{self.host}", timeout=60, trust_env=False) as client:
            started = time.perf_counter()
            place = client.post("/v2/plain/blobs/uploads/").headers["Location"]
            url = httpx.URL(place).copy_merge_params({"digest": digest})
            client.put(url, content=content).raise_for_status()
            return time.perf_counter() - started

    def theirs(self, model: Path, name: str) -> str:
        """Build from a Dockerfile and push with the engine; return the image's digest."""
        context = io.BytesIO()
        with tarfile.open(fileobj=context, mode="w") as archive:
            content = f"FROM {self.tag}\nCOPY bundle /model/bundle\n".encode()
            entry = tarfile.TarInfo("Dockerfile")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
            archive.add(model, "bundle")
        context.seek(0)
        repository, tag = f"{self.host}/theirs/toy", name.lower()
        self.engine.build_image(context, tag=f"{repository}:{tag}", arguments={}, labels={})
        return self.engine.push_image(repository, tag)


def timed(work: Callable[[Path, str], str], model: Path, name: str) -> float:
    """Return how long a way took."""
    started = time.perf_counter()
    work(model, name)
    return time.perf_counter() - started


def main() -> None:
    """Measure and print."""
    sys.path.insert(0, str(TESTS))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lastmile-bench-")))
        bench = Bench(stack, folder)
        rows, goals = [], []
        size = bench.base.image.compressed_bytes / 1e6
        goals.append(Goal("server base, compressed", size, 120, "MB"))
        for label, length in MODELS.items():
            best: dict[str, float] = {}
            for turn in range(ROUNDS):
                model = write_model(folder / f"{length}-{turn}", length, seed=length + turn)
                name = f"{length}-{turn}"
                for way, seconds in (
                    ("hash", hashing(model)),
                    ("put", bench.put(model)),
                    ("ours", timed(bench.ours, model, name)),
                    ("theirs", timed(bench.theirs, model, name)),
                ):
                    best[way] = min(seconds, best.get(way, seconds))
            beyond = best["ours"] - best["hash"]
            ratio = best["ours"] / best["theirs"]
            ways = (f"{best[way]:.2f} s" for way in ("hash", "put", "ours", "theirs"))
            rows.append((label, *ways, f"{ratio:.2f}"))
            goals.append(Goal(f"image of {label} beyond hashing", beyond, 2, "s"))
        show_table(
            ("model", "SHA-256 alone", "registry alone", "ours", "docker build + push", "ratio"),
            rows,
        )
        twice = len(set(digests_of(bench)))
        show_goals(*goals, Goal("digests of the same model", twice, 1))


def digests_of(bench: Bench) -> list[str]:
    """Return the digests of the same model, made in two places, a second apart."""
    found = []
    for place in ("here", "there"):
        found.append(bench.ours(write_model(bench.folder / place, 1000, seed=7), place))
        time.sleep(1.1)
    return found


if __name__ == "__main__":
    main()
