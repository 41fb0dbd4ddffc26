"""Small images and models for tests, made in milliseconds and without an engine."""

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

from bundles import write_bundle
from lastmile.artefacts.passport import Passport
from lastmile.artefacts.verdict import Decision
from lastmile.oci.artefact import SBOM, Artefact
from lastmile.oci.image import Image, PackagedModel
from lastmile.oci.layout import Layout
from lastmile.oci.saved import import_saved
from lastmile.oci.sbom import write_sbom

BUNDLE = "b" * 64
DPKG_STATUS = """\
Package: libc6
Status: install ok installed
Architecture: amd64
Version: 2.41-12

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1.0
"""
BASE_FILES: tuple[dict[str, str], ...] = (
    {
        "etc/os-release": 'ID=debian\nVERSION_ID="13"\nPRETTY_NAME="Debian GNU/Linux 13 (trixie)"\n',
        "var/lib/dpkg/status": DPKG_STATUS,
        "opt/old-9.dist-info/METADATA": "Metadata-Version: 2.4\nName: old\nVersion: 9\n\n",
    },
    {
        "opt/Flask-3.1.dist-info/METADATA": (
            "Metadata-Version: 2.4\nName: Flask\nVersion: 3.1.3\nLicense-Expression: BSD-3-Clause\n\n"
        ),
        "opt/.wh.old-9.dist-info": "",
    },
)


def write_saved(path: Path, layers: tuple[dict[str, str], ...] = BASE_FILES, **config: Any) -> Path:
    """Write an archive as `docker save` does, of an image with these files in its layers."""
    contents = [_tar(files) for files in layers]
    document = {
        "architecture": "amd64",
        "os": "linux",
        "container": "c0ffee",
        "config": {"Labels": {"dev.lastmile.lock": "1" * 64}, "Cmd": ["serve"], **config},
        "rootfs": {
            "type": "layers",
            "diff_ids": [f"sha256:{hashlib.sha256(content).hexdigest()}" for content in contents],
        },
        "history": [{"created_by": f"step {number}"} for number, _ in enumerate(layers)],
    }
    text = json.dumps(document)
    name = hashlib.sha256(text.encode()).hexdigest()
    names = [f"{number}/layer.tar" for number, _ in enumerate(layers)]
    listing = [{"Config": f"{name}.json", "RepoTags": None, "Layers": names}]
    with tarfile.open(path, "w") as archive:
        for member, content in zip(names, contents, strict=True):
            _add(archive, member, content)
        _add(archive, f"{name}.json", text.encode())
        _add(archive, "manifest.json", json.dumps(listing).encode())
    return path


def make_base(folder: Path) -> tuple[Layout, Image]:
    """Make a layout with a small base named `server`, and its SBOM beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    layout = Layout(folder / "images")
    image = import_saved(write_saved(folder / "saved.tar"), layout)
    layout.name(image, "server")
    layout.attach(Artefact.about(image.descriptor, SBOM, write_sbom(image)))
    return layout, image


def make_passport(bundle: Path, *, version: int = 3, run_id: str = "night-1") -> Passport:
    """Make the passport of a bundle's folder."""
    files = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(bundle.iterdir())
    }
    return Passport(
        pipeline="toy", version=version, bundle=BUNDLE, files=files, dataset="d" * 64,
        verdict="e" * 64, decision=Decision.PROMOTE, metrics=(), sources=(), rows={"train": 2},
        definition={}, code="c" * 64, commit=f"{'a' * 40}-dirty", libraries={}, run_id=run_id,
        requested_by="test", reason="", created_at="2026-11-25T02:00:00+00:00",
    )  # fmt: skip


def make_model(folder: Path, *, bias: float = 1.0, version: int = 3) -> PackagedModel:
    """Make a model that answers x + bias."""
    passport = make_passport(write_bundle(folder / "bundle", bias=bias), version=version)
    return PackagedModel.of(passport, folder / "bundle")


def _tar(files: dict[str, str]) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        for name, text in files.items():
            _add(archive, name, text.encode())
    return target.getvalue()


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content))
