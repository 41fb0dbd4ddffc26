"""The model's image: the server base and one layer, sent to the registry with its provenance beside it."""

from dataclasses import dataclass, replace
from pathlib import Path

from lastmile.artefacts.image import ModelImage
from lastmile.artefacts.passport import Passport
from lastmile.clients.registry import Registry
from lastmile.errors import SettingsError
from lastmile.oci.artefact import PROVENANCE, SBOM, Artefact
from lastmile.oci.image import Image, PackagedModel, build_model_image
from lastmile.oci.layout import Layout
from lastmile.oci.provenance import write_provenance
from lastmile.oci.remote import attach, attached, open_image, publish
from lastmile.settings import Settings

SERVER = "server"
"""The name of the server base, and of its repository."""
MODELS = "models"
"""What the models' repositories begin with, so that no pipeline takes the server base's name."""


@dataclass(frozen=True)
class ServerBase:
    """What models are put on."""

    image: Image
    sbom: bytes | None
    """What is in it; None where it came without."""


def open_base(settings: Settings, registry: Registry | None) -> ServerBase:
    """Return the server base that the settings name, or that `make images` made last on this machine.

    Raises:
        SettingsError: There is none.
        ArtefactError: It is altered.
        ServiceUnavailableError: The registry does not answer.
    """
    layout = Layout(settings.images_path)
    repository = registry.address.repository(SERVER) if registry else None
    found = layout.find(settings.server_image or SERVER)
    if found is not None and (found.is_whole or registry is not None):
        beside = layout.attached(found.digest)
        sbom = next((one.content for one in beside if one.kind == SBOM), None)
        return ServerBase(replace(found, origin=repository), sbom)
    if registry is not None and repository is not None and settings.server_image:
        there = open_image(registry, repository, settings.server_image)
        if there is not None:
            documents = attached(registry, repository, there.digest, SBOM)
            return ServerBase(there, documents[0].content if documents else None)
    wanted = settings.server_image or "one that was made here"
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


def publish_model(
    passport: Passport,
    passport_digest: str,
    bundle: Path,
    base: ServerBase,
    registry: Registry,
    scratch: Path,
) -> ModelImage:
    """Make a model's image and send it, with the documents that say what it is.

    The manifest is sent last but for these: what was cut off half way is no image, and the next try sends
    what is missing.

    Args:
        passport: Says which model.
        passport_digest: SHA-256 of its file.
        bundle: The folder of the model's files.
        base: What it is put on.
        registry: Where it goes.
        scratch: A folder to work in.

    Raises:
        ArtefactError: A file of the bundle, or a layer of the base, is missing or altered.
        ServiceUnavailableError: The registry does not answer, or does not take it just now.
        SettingsError: It refuses our account.
    """
    image = build_model_image(base.image, packaged(passport, bundle), scratch)
    repository = registry.address.repository(f"{MODELS}/{passport.pipeline}")
    publish(image, registry, repository, str(passport.version))
    statement = write_provenance(image, base.image, passport, passport_digest)
    provenance = Artefact.about(image.descriptor, PROVENANCE, statement)
    attach(provenance, registry, repository)
    sbom = Artefact.about(image.descriptor, SBOM, base.sbom) if base.sbom else None
    if sbom is not None:
        attach(sbom, registry, repository)
    return ModelImage(
        registry=registry.address.host,
        repository=repository,
        digest=image.digest,
        config=image.config_digest,
        layer=image.layers[-1].digest,
        base=base.image.digest,
        provenance=provenance.digest,
        sbom=sbom.digest if sbom else None,
    )


def packaged(passport: Passport, bundle: Path) -> PackagedModel:
    """Return what goes into the image of the model that a passport is about."""
    return PackagedModel(
        pipeline=passport.pipeline,
        version=passport.version,
        bundle=passport.bundle,
        folder=bundle,
        files=passport.files,
    )
