"""The model's image: the server base and one layer, sent to the registry with its provenance beside it."""

from pathlib import Path

from lastmile.artefacts.image import ModelImage
from lastmile.artefacts.passport import Passport
from lastmile.clients.registry import Registry
from lastmile.oci.artefact import PROVENANCE, SBOM, Artefact
from lastmile.oci.base import ServerBase
from lastmile.oci.image import PackagedModel, build_model_image
from lastmile.oci.provenance import write_provenance
from lastmile.oci.remote import attach, publish

MODELS = "models"
"""What the models' repositories begin with, so that no pipeline takes the server base's name."""


def publish_model(
    passport: Passport,
    passport_digest: str,
    bundle: Path,
    base: ServerBase,
    registry: Registry | None,
    scratch: Path,
) -> ModelImage:
    """Make a model's image and send it, with the documents that say what it is; return what to note of it.

    The manifest is sent last but for these: what was cut off half way is no image, and the next try sends
    what is missing.

    Args:
        passport: Says which model.
        passport_digest: SHA-256 of its file.
        bundle: The folder of the model's files.
        base: What it is put on.
        registry: Where it goes. None: nowhere; whoever runs it makes it again from this note
            (`lastmile.oci.verify.remake_image`).
        scratch: A folder to work in.

    Raises:
        ArtefactError: A file of the bundle, or a layer of the base, is missing or altered.
        ServiceUnavailableError: The registry does not answer, or does not take it just now.
        SettingsError: It refuses our account.
    """
    image = build_model_image(base.image, PackagedModel.of(passport, bundle), scratch)
    statement = write_provenance(image, base.image, passport, passport_digest)
    provenance = Artefact.about(image.descriptor, PROVENANCE, statement)
    sbom = Artefact.about(image.descriptor, SBOM, base.sbom) if base.sbom else None
    repository = f"{MODELS}/{passport.pipeline}"
    if registry is not None:
        repository = registry.address.repository(repository)
        publish(image, registry, repository, str(passport.version))
        for artefact in filter(None, (provenance, sbom)):
            attach(artefact, registry, repository)
    return ModelImage(
        registry=registry.address.host if registry else None,
        repository=repository,
        digest=image.digest,
        config=image.config_digest,
        layer=image.layers[-1].digest,
        base=base.image.digest,
        provenance=provenance.digest,
        sbom=sbom.digest if sbom else None,
    )
