"""The server base that models are put on: found by digest, on this machine or in the registry."""

from dataclasses import dataclass, replace

from lastmile.clients.registry import Registry
from lastmile.errors import SettingsError
from lastmile.oci.artefact import SBOM
from lastmile.oci.image import Image
from lastmile.oci.layout import Layout
from lastmile.oci.remote import attached, open_image
from lastmile.settings import Settings

SERVER = "server"
"""The name of the server base, and of its repository."""


@dataclass(frozen=True)
class ServerBase:
    """What models are put on."""

    image: Image
    sbom: bytes | None
    """What is in it; None where it came without."""


def open_base(
    settings: Settings, registry: Registry | None, digest: str | None = None
) -> ServerBase:
    """Return the server base that the settings name, or that `make images` made last on this machine.

    Args:
        settings: Name the base, and the folder in which this machine keeps its own.
        registry: Where else to look.
        digest: Another one than the settings name: that of an image made before, say.

    Raises:
        SettingsError: There is none.
        ArtefactError: It is altered.
        ServiceUnavailableError: The registry does not answer.
    """
    digest = digest or settings.server_image
    layout = Layout(settings.images_path)
    repository = registry.address.repository(SERVER) if registry else None
    found = layout.find(digest or SERVER)
    if found is not None and (found.is_whole or registry is not None):
        beside = layout.attached(found.digest)
        sbom = next((one.content for one in beside if one.kind == SBOM), None)
        return ServerBase(replace(found, origin=repository), sbom)
    if registry is not None and repository is not None and digest:
        there = open_image(registry, repository, digest)
        if there is not None:
            documents = attached(registry, repository, there.digest, SBOM)
            return ServerBase(there, documents[0].content if documents else None)
    wanted = digest or "one that was made here"
    raise SettingsError(
        f"There is no server base to put a model on: neither this machine nor a registry has {wanted}.",
        "Make it: make images. Where it is made elsewhere, set LASTMILE_SERVER_IMAGE to its digest and "
        "LASTMILE_REGISTRY to where it is.",
    )


def base_digest(settings: Settings) -> str | None:
    """Return the digest of the base that `open_base` would give; None where this machine has none."""
    if settings.server_image:
        return settings.server_image
    found = Layout(settings.images_path).find(SERVER)
    return found.digest if found else None
