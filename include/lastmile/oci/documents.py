"""The documents of the OCI image specification that we read and write."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lastmile.errors import ArtefactError
from lastmile.store import canonical_json

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"
EMPTY_TYPE = "application/vnd.oci.empty.v1+json"

EMPTY = b"{}"
"""The config of an artefact that has none."""


class Document(BaseModel):
    """A document of the specification; what it holds beyond our fields is left alone."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


class Descriptor(Document):
    """Points at content by its digest."""

    media_type: str = Field(alias="mediaType")
    digest: str = Field(pattern=r"^sha256:[0-9a-f]{64}$")
    size: int = Field(ge=0)
    artifact_type: str | None = Field(default=None, alias="artifactType")
    annotations: dict[str, str] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the document's form."""
        return self.model_dump(by_alias=True, exclude_none=True)


class Manifest(Document):
    """What an image, or an artefact beside one, consists of."""

    config: Descriptor
    layers: tuple[Descriptor, ...]
    artifact_type: str | None = Field(default=None, alias="artifactType")
    subject: Descriptor | None = None
    annotations: dict[str, str] = Field(default_factory=dict)


class Index(Document):
    """A list of manifests."""

    manifests: tuple[Descriptor, ...] = ()


def digest_of_bytes(content: bytes) -> str:
    """Return a content's digest, as OCI writes it."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def describe(media_type: str, content: bytes) -> Descriptor:
    """Return the descriptor of a content."""
    return Descriptor(media_type=media_type, digest=digest_of_bytes(content), size=len(content))


def write_manifest(
    config: Descriptor,
    layers: tuple[Descriptor, ...],
    *,
    annotations: Mapping[str, str] | None = None,
    artifact_type: str | None = None,
    subject: Descriptor | None = None,
) -> bytes:
    """Return a manifest's canonical bytes: equal parts give equal bytes."""
    parts = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "artifactType": artifact_type,
        "config": config.to_json(),
        "layers": [layer.to_json() for layer in layers],
        "subject": subject.to_json() if subject else None,
        "annotations": dict(annotations) if annotations else None,
    }
    return canonical_json({name: part for name, part in parts.items() if part is not None})


def write_index(manifests: tuple[Descriptor, ...]) -> bytes:
    """Return an index's canonical bytes."""
    return canonical_json(
        {
            "schemaVersion": 2,
            "mediaType": INDEX_TYPE,
            "manifests": [entry.to_json() for entry in manifests],
        }
    )


def read_manifest(content: bytes, name: str) -> Manifest:
    """Read a manifest.

    Args:
        content: Its bytes.
        name: What to call it in an error.

    Raises:
        ArtefactError: It is none.
    """
    try:
        return Manifest.model_validate_json(content)
    except ValidationError as error:
        raise not_readable(name, "image manifest") from error


def read_config(content: bytes, name: str) -> dict[str, Any]:
    """Read an image's config, whole.

    Raises:
        ArtefactError: It is none.
    """
    try:
        value = json.loads(content)
        diff_ids = value["rootfs"]["diff_ids"]
    except (ValueError, KeyError, TypeError) as error:
        raise not_readable(name, "image config") from error
    if not isinstance(diff_ids, list) or not isinstance(value.get("config"), dict):
        raise not_readable(name, "image config")
    return dict(value)


def not_readable(name: str, expected: str) -> ArtefactError:
    """Return the error of a document that is not what it should be."""
    return ArtefactError(
        f"{name} is no {expected} that Lastmile can read.",
        "It is not used. Make it anew: `make images` for a base, `lastmile package --force` for a model.",
    )
