"""Where a model comes from: commit, source code, libraries."""

import importlib.metadata
import logging
import subprocess
from pathlib import Path

from lastmile.run import code_digest

log = logging.getLogger(__name__)

CODE = ("artefacts", "bundle", "evaluate", "features", "pipeline", "prepare", "train")
"""What of this package has a say in what a model becomes."""

LIBRARIES = (
    "keras", "numpy", "onnx", "onnxruntime", "pandas", "pyarrow", "scikit-learn", "tensorflow",
    "tensorflow-cpu", "tf2onnx",
)  # fmt: skip

GIT_SECONDS = 20


def stages_digest() -> str:
    """SHA-256 of the source code that made the model."""
    return code_digest(CODE)


def library_versions() -> dict[str, str]:
    """Return the version of each library that shapes a model and is installed."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def commit_of(folder: Path) -> str | None:
    """Return the Git commit of a checkout, `-dirty` where files differ from it; None outside one."""
    head = _git(folder, "rev-parse", "--verify", "HEAD")
    if head is None:
        return None
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return head if changes == "" else f"{head}-dirty"


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            timeout=GIT_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        log.debug("git %s in %s: %s", arguments[0], folder, error)
        return None
    return done.stdout.strip()
