"""An artefact beside an image: a document that says something of it, found by the image's digest."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from lastmile.errors import ArtefactError
from lastmile.oci.documents import (
    EMPTY,
    EMPTY_TYPE,
    MANIFEST_TYPE,
    Descriptor,
    Manifest,
    describe,
    digest_of_bytes,
    not_readable,
    read_manifest,
    write_manifest,
)

SBOM = "application/vnd.cyclonedx+json"
PROVENANCE = "application/vnd.in-toto+json"

LARGEST_BYTES = 16 << 20
"""Nobody writes a larger document; whoever sends one wants something else."""


@dataclass(frozen=True)
class Artefact:
    """A document and the manifest that ties it to an image."""

    manifest: bytes
    content: bytes
    config: bytes = EMPTY

    @classmethod
    def about(cls, subject: Descriptor, kind: str, content: bytes) -> "Artefact":
        """Tie a document of a kind, a media type, to an image."""
        manifest = write_manifest(
            describe(EMPTY_TYPE, EMPTY),
            (describe(kind, content),),
            artifact_type=kind,
            subject=Descriptor(
                media_type=subject.media_type, digest=subject.digest, size=subject.size
            ),
        )
        return cls(manifest, content)

    @classmethod
    def read(cls, manifest: bytes, fetch: Callable[[str], bytes]) -> "Artefact":
        """Read an artefact whose manifest is at hand; `fetch` gives a blob, verified.

        Raises:
            ArtefactError: It is no such artefact.
        """
        parts = read_manifest(manifest, f"Artefact {digest_of_bytes(manifest)}")
        if parts.subject is None or len(parts.layers) != 1:
            raise not_readable(digest_of_bytes(manifest), "artefact about an image")
        if parts.layers[0].size > LARGEST_BYTES:
            raise ArtefactError(
                f"The document in artefact {digest_of_bytes(manifest)} has "
                f"{parts.layers[0].size} bytes, more than the {LARGEST_BYTES} that are read.",
                "It is not used. See who put it beside the image.",
            )
        return cls(manifest, fetch(parts.layers[0].digest))

    @property
    def digest(self) -> str:
        """The artefact's identity."""
        return digest_of_bytes(self.manifest)

    @cached_property
    def parts(self) -> Manifest:
        """The manifest, read."""
        return read_manifest(self.manifest, f"Artefact {self.digest}")

    @property
    def subject(self) -> Descriptor:
        """The image that it is about."""
        assert self.parts.subject is not None  # noqa: S101 - seen to when it was made or read
        return self.parts.subject

    @property
    def kind(self) -> str:
        """The document's media type."""
        return self.parts.artifact_type or self.parts.layers[0].media_type

    @property
    def descriptor(self) -> Descriptor:
        """What points at it in a list of artefacts."""
        found = describe(MANIFEST_TYPE, self.manifest)
        return found.model_copy(update={"artifact_type": self.kind})
