"""What each of our own images is built from: its part of the lock, its sources, its Dockerfile.

All of it goes into a context made for the purpose, never the checkout: no file that happens to lie about
gets into an image, and equal inputs have one key.
"""

import hashlib
import shutil
import subprocess
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from io import BytesIO
from pathlib import Path

from lastmile.errors import SettingsError
from lastmile.store import digest_of

FORMAT = 1
"""Another one where the same inputs would make another image."""
UV_SECONDS = 120

LAUNCHER = b"""#!/opt/lastmile/bin/python
from lastmile.cli.main import main

main()
"""


@dataclass(frozen=True, slots=True)
class Recipe:
    """One image."""

    name: str
    purpose: str
    extras: tuple[str, ...]
    """The extras of the package that are installed, with the lock's versions and hashes."""
    sources: Mapping[str, str]
    """Files and folders of the checkout, and where they are put in the context."""


SERVER = Recipe(
    "server",
    "answers predictions; a release adds its model",
    ("serve",),
    # Only what serves: another line in the command line makes no new base, and no new image of any model.
    {
        f"include/lastmile/{part}": f"src/lastmile/{part}"
        for part in ("__init__.py", "py.typed", "errors.py", "bundle", "features", "serve")
    },
)
TRAINER = Recipe(
    "trainer",
    "runs any stage",
    ("run", "train"),
    {part: f"src/{part}" for part in ("include/lastmile", "include/pipelines")},
)
AIRFLOW = Recipe(
    "airflow",
    "runs Airflow, and stages as its tasks' children",
    ("run", "train", "serve", "airflow", "postgres"),
    {part: f"src/{part}" for part in ("dags", "plugins", "include/lastmile", "include/pipelines")},
)
RECIPES = (SERVER, TRAINER, AIRFLOW)


@dataclass(frozen=True)
class BuildContext:
    """The files that an image is built from."""

    files: Mapping[str, bytes]

    @property
    def lock(self) -> str:
        """Digest of the packages."""
        return hashlib.sha256(self.files["requirements.txt"]).hexdigest()

    @property
    def source(self) -> str:
        """Digest of our own code in it."""
        return digest_of(
            {
                name: hashlib.sha256(content).hexdigest()
                for name, content in self.files.items()
                if name.startswith("src/")
            }
        )

    def key(self, base: str, platform: str) -> str:
        """Return the key of what is built from this on a base for a platform."""
        files = {name: hashlib.sha256(content).hexdigest() for name, content in self.files.items()}
        return digest_of({"format": FORMAT, "files": files, "base": base, "platform": platform})

    def to_tar(self) -> BytesIO:
        """Return the context as an engine takes it; equal files give equal bytes."""
        target = BytesIO()
        with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for name in sorted(self.files):
                entry = tarfile.TarInfo(name)
                entry.size = len(self.files[name])
                entry.mode = 0o755 if self.files[name].startswith(b"#!") else 0o644
                archive.addfile(entry, BytesIO(self.files[name]))
        target.seek(0)
        return target


def collect(recipe: Recipe, root: Path) -> BuildContext:
    """Collect what an image is built from.

    Args:
        recipe: Which image.
        root: The checkout.

    Raises:
        SettingsError: The root is no checkout, or there is no uv to read its lock.
    """
    dockerfile = root / "include" / "images" / recipe.name / "Dockerfile"
    if not dockerfile.is_file() or not (root / "uv.lock").is_file():
        raise SettingsError(
            f"{root} is no checkout of Lastmile: {dockerfile.relative_to(root)} or uv.lock is missing.",
            "Run `make images` in the checkout, or set LASTMILE_ROOT to it.",
        )
    files = {"Dockerfile": dockerfile.read_bytes(), "requirements.txt": _requirements(recipe, root)}
    for source, place in recipe.sources.items():
        files.update(_read(root / source, place))
    folder = "src" if recipe is SERVER else "src/include"
    release = version("lastmile")
    metadata = f"Metadata-Version: 2.4\nName: lastmile\nVersion: {release}\n"
    files[f"{folder}/lastmile-{release}.dist-info/METADATA"] = metadata.encode()
    files["bin/lastmile"] = LAUNCHER
    return BuildContext(files)


def _read(path: Path, place: str) -> Iterator[tuple[str, bytes]]:
    if path.is_file():
        yield place, path.read_bytes()
        return
    for file in sorted(path.rglob("*")):
        relative = file.relative_to(path)
        is_hidden = any(part.startswith((".", "__pycache__")) for part in relative.parts)
        if file.is_file() and not is_hidden:
            yield f"{place}/{relative.as_posix()}", file.read_bytes()


def _requirements(recipe: Recipe, root: Path) -> bytes:
    own = root / ".tools" / "uv" / "bin" / "uv"
    uv = str(own) if own.is_file() else shutil.which("uv")
    if uv is None:
        raise SettingsError(
            "There is no uv to read the lock with.", "Install it into the checkout: make setup"
        )
    command = [
        uv, "export", "--quiet", "--frozen", "--no-dev", "--no-emit-project", "--no-annotate", "--no-header",
    ]  # fmt: skip
    for extra in recipe.extras:
        command += ["--extra", extra]
    try:
        done = subprocess.run(
            command, cwd=root, capture_output=True, timeout=UV_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", b"") or b""
        raise SettingsError(
            f"The lock cannot be read: {said.decode(errors='replace').strip() or error}",
            "See that uv.lock fits pyproject.toml: make lock",
        ) from error
    return done.stdout
