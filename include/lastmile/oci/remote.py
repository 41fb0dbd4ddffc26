"""Images in a registry: sent so that only what is missing moves, and opened by digest alone."""

import logging
import tempfile
from dataclasses import dataclass
from io import BufferedIOBase, BytesIO
from pathlib import Path
from typing import BinaryIO, cast

from pydantic import ValidationError

from lastmile.clients.registry import Blob, Registry, referrers_tag
from lastmile.clients.registry_address import RegistryAccount, RegistryAddress
from lastmile.errors import ArtefactError
from lastmile.oci.artefact import LARGEST_BYTES, Artefact
from lastmile.oci.documents import (
    INDEX_TYPE,
    MANIFEST_TYPE,
    Descriptor,
    Index,
    digest_of_bytes,
    not_readable,
    read_manifest,
    write_index,
)
from lastmile.oci.image import Image
from lastmile.settings import Settings, find_connection_url

log = logging.getLogger(__name__)

LARGEST_CONFIG = 4 << 20


def open_registry(settings: Settings) -> Registry | None:
    """Return the environment's registry; None where there is none.

    Raises:
        SettingsError: Its address or its connection is wrong.
    """
    if not settings.registry:
        return None
    url = find_connection_url("registry")
    account = RegistryAccount.parse(url) if url else None
    return Registry(RegistryAddress.parse(settings.registry), account)


@dataclass(frozen=True, slots=True)
class Published:
    """What sending an image moved."""

    reference: str
    """`host/repository@sha256:...`"""
    digest: str
    sent: tuple[str, ...]
    """Digests of the blobs whose bytes were sent."""
    sent_bytes: int


def publish(image: Image, registry: Registry, repository: str, *tags: str) -> Published:
    """Send an image: what is missing of its layers, its config, and last the manifest.

    Until the manifest is there the image does not exist, so whatever stops this leaves no half image.

    Raises:
        ArtefactError: A layer is neither at hand nor in the registry.
        ServiceUnavailableError: The registry does not answer, or does not take it just now.
        SettingsError: It refuses our account.
    """
    sent = [layer for layer in image.layers if _send_layer(image, layer, registry, repository)]
    config = image.parts.config
    if registry.put_blob(repository, blob_of_bytes(image.config)):
        sent.append(config)
    for reference in (image.digest, *tags):
        registry.put_manifest(repository, reference, image.manifest, MANIFEST_TYPE)
    return Published(
        reference=f"{registry.address.host}/{repository}@{image.digest}",
        digest=image.digest,
        sent=tuple(blob.digest for blob in sent),
        sent_bytes=sum(blob.size for blob in sent),
    )


def open_image(registry: Registry, repository: str, reference: str) -> Image | None:
    """Return an image of a registry, its layers left there; None where there is none.

    Args:
        registry: Where it is.
        repository: Its repository, whole.
        reference: Its digest, which is then verified, or a tag.

    Raises:
        ArtefactError: Something of it is missing, or is not what its digest says.
        ServiceUnavailableError: The registry does not answer.
        SettingsError: It refuses our account.
    """
    manifest = registry.find_manifest(repository, reference)
    if manifest is None:
        return None
    parts = read_manifest(manifest, f"{repository}@{reference}")
    config = registry.get_blob(repository, parts.config.digest, LARGEST_CONFIG)
    return Image(manifest, config, origin=repository)


def attach(artefact: Artefact, registry: Registry, repository: str) -> str:
    """Put a document beside an image; return its digest.

    Raises:
        ServiceUnavailableError: The registry does not answer, or does not take it just now.
        SettingsError: It refuses our account.
    """
    for content in (artefact.config, artefact.content):
        registry.put_blob(repository, blob_of_bytes(content))
    registry.put_manifest(repository, artefact.digest, artefact.manifest, MANIFEST_TYPE)
    subject = artefact.subject.digest
    if not registry.knows_referrers(repository, subject):
        known = _referrers(registry, repository, subject)
        if all(entry.digest != artefact.digest for entry in known):
            index = write_index((*known, artefact.descriptor))
            registry.put_manifest(repository, referrers_tag(subject), index, INDEX_TYPE)
    return artefact.digest


def attached(registry: Registry, repository: str, subject: str, kind: str) -> tuple[Artefact, ...]:
    """Return the documents of a kind beside an image.

    Raises:
        ArtefactError: One of them is missing, or is not what its digest says.
        ServiceUnavailableError: The registry does not answer.
        SettingsError: It refuses our account.
    """
    return tuple(
        fetch_artefact(registry, repository, entry.digest)
        for entry in _referrers(registry, repository, subject)
        if entry.artifact_type == kind
    )


def fetch_artefact(registry: Registry, repository: str, digest: str) -> Artefact:
    """Return a document beside an image by its own digest, every byte verified.

    Raises:
        ArtefactError: It is missing, or is not what its digest says.
        ServiceUnavailableError: The registry does not answer.
        SettingsError: It refuses our account.
    """
    return Artefact.read(
        registry.get_manifest(repository, digest),
        lambda blob: registry.get_blob(repository, blob, LARGEST_BYTES),
    )


def fetch_layer(image: Image, layer: Descriptor, registry: Registry, target: BinaryIO) -> None:
    """Write a layer that is not at hand into a file, verified.

    Raises:
        ArtefactError: It is missing, or is not what its digest says.
        ServiceUnavailableError: The registry does not answer.
        SettingsError: It refuses our account.
    """
    if image.origin is None:
        raise ArtefactError(
            f"Layer {layer.digest} of image {image.digest} is not on this machine.",
            "Make the server base anew: make images",
        )
    registry.download_blob(image.origin, layer.digest, target)
    target.flush()


def blob_of_bytes(content: bytes) -> Blob:
    """Return content in memory as something to send."""
    return Blob(digest_of_bytes(content), len(content), lambda: BytesIO(content))


def _send_layer(image: Image, layer: Descriptor, registry: Registry, repository: str) -> bool:
    path = image.files.get(layer.digest)
    if path is not None:
        blob = Blob(layer.digest, layer.size, lambda: path.open("rb"))
        return registry.put_blob(repository, blob, image.origin)
    if image.origin and registry.mount_blob(repository, layer.digest, image.origin):
        return False
    # The registry does not lend one repository's blobs to another: they go through here once.
    with tempfile.TemporaryFile() as file:
        copy = cast("BinaryIO", file)
        fetch_layer(image, layer, registry, copy)
        return registry.put_blob(repository, Blob(layer.digest, layer.size, lambda: _rewound(copy)))


def _referrers(registry: Registry, repository: str, subject: str) -> tuple[Descriptor, ...]:
    content = registry.referrers(repository, subject)
    if content is None:
        return ()
    try:
        return Index.model_validate_json(content).manifests
    except ValidationError as error:
        raise not_readable(f"What refers to {subject}", "list of artefacts") from error


def _rewound(file: BinaryIO) -> BufferedIOBase:
    """Return an open file to read anew, which stays open when the reader closes its own."""
    return Path(f"/proc/self/fd/{file.fileno()}").open("rb")
