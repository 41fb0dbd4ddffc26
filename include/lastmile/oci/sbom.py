"""What an image is made of, as CycloneDX lists it: read from the image, not from what was asked for."""

import json
import re
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.parser import HeaderParser
from typing import IO, Any
from urllib.parse import quote

from lastmile.oci.image import TITLE, Image
from lastmile.store import canonical_json

DPKG = re.compile(r"^var/lib/dpkg/(status|status\.d/[^/]+)$")
PYTHON = re.compile(r"^(?P<place>.*)/[^/]+\.dist-info/METADATA$")
OS_RELEASE = re.compile(r"^(etc|usr/lib)/os-release$")
DELETED = ".wh."
"""How a layer says that a file of the layers below is gone."""


@dataclass(frozen=True, slots=True, order=True)
class Package:
    """One installed package."""

    kind: str
    """`deb` or `pypi`."""
    name: str
    version: str
    licence: str = ""
    architecture: str = ""

    def purl(self, distribution: Mapping[str, str]) -> str:
        """Return its package URL."""
        name, version = quote(self.name), quote(self.version)
        if self.kind == "pypi":
            return f"pkg:pypi/{re.sub(r'[-_.]+', '-', name).lower()}@{version}"
        vendor = distribution.get("ID", "linux")
        release = f"{vendor}-{distribution.get('VERSION_ID', '')}".rstrip("-")
        return f"pkg:deb/{vendor}/{name}@{version}?arch={self.architecture}&distro={release}"


def write_sbom(image: Image) -> bytes:
    """Return the CycloneDX document of an image whose layers are at hand; equal images, equal bytes."""
    files = _read_files(image)
    distribution = _distribution(files)
    packages = sorted(set(_packages(files)))
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "container",
                "bom-ref": image.digest,
                "name": image.labels.get(TITLE, "image"),
                "version": image.digest,
                "hashes": [_hash(image.digest)],
            },
            "properties": [
                {
                    "name": "lastmile:distribution",
                    "value": distribution.get("PRETTY_NAME", "unknown"),
                }
            ],
        },
        "components": [_component(package, distribution) for package in packages],
        "dependencies": [
            {"ref": image.digest, "dependsOn": [one.purl(distribution) for one in packages]}
        ],
    }
    return canonical_json(document)


def read_subject(document: bytes) -> str | None:
    """Return the digest of the image that such a document is about; None where it is none."""
    try:
        value = json.loads(document)
        return str(value["metadata"]["component"]["version"])
    except (ValueError, KeyError, TypeError):
        return None


def _component(package: Package, distribution: Mapping[str, str]) -> dict[str, Any]:
    purl = package.purl(distribution)
    component: dict[str, Any] = {
        "type": "library",
        "bom-ref": purl,
        "name": package.name,
        "version": package.version,
        "purl": purl,
    }
    if package.licence:
        component["licenses"] = [{"license": {"name": package.licence}}]
    return component


def _hash(digest: str) -> dict[str, str]:
    return {"alg": "SHA-256", "content": digest.removeprefix("sha256:")}


def _read_files(image: Image) -> dict[str, bytes]:
    """Return the files that name packages, as the topmost layer that has each left it."""
    files: dict[str, bytes] = {}
    for layer in image.layers:
        with tarfile.open(image.files[layer.digest]) as archive:
            for entry in archive:
                name = entry.name.removeprefix("./")
                folder, _, last = name.rpartition("/")
                if last.startswith(DELETED):
                    gone = f"{folder}/{last.removeprefix(DELETED)}"
                    files = {
                        n: c for n, c in files.items() if n != gone and not n.startswith(f"{gone}/")
                    }
                elif entry.isfile() and _is_wanted(name):
                    files[name] = _content(archive.extractfile(entry))
    return files


def _is_wanted(name: str) -> bool:
    return any(pattern.match(name) for pattern in (DPKG, PYTHON, OS_RELEASE))


def _content(file: IO[bytes] | None) -> bytes:
    return b"" if file is None else file.read()


def _distribution(files: Mapping[str, bytes]) -> dict[str, str]:
    for name, content in files.items():
        if OS_RELEASE.match(name):
            lines = (line.partition("=") for line in content.decode().splitlines() if "=" in line)
            return {key: value.strip('"') for key, _, value in lines}
    return {}


def _packages(files: Mapping[str, bytes]) -> Iterator[Package]:
    for name, content in files.items():
        if DPKG.match(name):
            yield from _debian(content.decode())
        elif PYTHON.match(name):
            yield _python(content.decode())


def _debian(status: str) -> Iterator[Package]:
    for paragraph in status.split("\n\n"):
        fields = HeaderParser().parsestr(paragraph.lstrip("\n"))
        if fields["Package"] and " installed" in (fields["Status"] or " installed"):
            yield Package("deb", fields["Package"], fields["Version"], "", fields["Architecture"])


def _python(metadata: str) -> Package:
    fields = HeaderParser().parsestr(metadata)
    licence = fields["License-Expression"] or fields["License"] or ""
    one_line = licence.splitlines()[0][:100] if licence else ""
    return Package("pypi", fields["Name"], fields["Version"], one_line)
