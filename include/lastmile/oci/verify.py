"""What is asked of a model image before it may run: that it is, byte by byte, what packaging made."""

from pathlib import Path

from lastmile.artefacts.image import ModelImage
from lastmile.artefacts.passport import Passport
from lastmile.clients.registry import Registry
from lastmile.errors import ArtefactError
from lastmile.oci.artefact import PROVENANCE, SBOM, Artefact
from lastmile.oci.base import ServerBase
from lastmile.oci.image import BASE_DIGEST, BUNDLE, Image, PackagedModel, build_model_image
from lastmile.oci.provenance import verify_statement, write_provenance
from lastmile.oci.remote import fetch_artefact, open_image
from lastmile.oci.sbom import read_subject


def verify_image(image: ModelImage, bundle: str, registry: Registry) -> Image:
    """Open an image by digest and compare it with its provenance, its base and the bundle.

    Layers are not fetched: whoever runs the image by its digest compares them, one by one, with the
    manifest that was verified here.

    Args:
        image: What packaging noted.
        bundle: Digest of the candidate's bundle.
        registry: Where the image is.

    Raises:
        ArtefactError: Something is missing, altered, or about something else. The image must not run.
        ServiceUnavailableError: The registry does not answer.
        SettingsError: It refuses our account.
    """
    found = open_image(registry, image.repository, image.digest)
    if found is None:
        raise ArtefactError(
            f"Image {image.reference} is not in its registry.",
            "It was deleted. Package the run again with --force.",
        )
    for what, expected, said in (
        ("config", image.config, found.config_digest),
        ("base", image.base, found.parts.annotations.get(BASE_DIGEST)),
        ("base", image.base, found.labels.get(BASE_DIGEST)),
        ("bundle", bundle, found.labels.get(BUNDLE)),
        ("topmost layer", image.layer, found.layers[-1].digest if found.layers else None),
    ):
        if said != expected:
            raise _refused(image, f"its {what} is {said}, not {expected}")
    _verify_beside(image, registry, bundle)
    return found


def remake_image(
    image: ModelImage,
    passport: Passport,
    passport_digest: str,
    bundle: Path,
    base: ServerBase,
    scratch: Path,
) -> Image:
    """Make an image that no registry has, and compare it with what packaging noted.

    Args:
        image: What packaging noted.
        passport: Says which model.
        passport_digest: SHA-256 of its file.
        bundle: The folder of the model's files.
        base: The server base of the noted digest.
        scratch: A folder for the layer; it stays there.

    Raises:
        ArtefactError: A file is not what its digest says, or it comes to another image.
    """
    made = build_model_image(base.image, PackagedModel.of(passport, bundle), scratch)
    statement = write_provenance(made, base.image, passport, passport_digest)
    provenance = Artefact.about(made.descriptor, PROVENANCE, statement)
    for what, expected, found in (
        ("base", image.base, base.image.digest),
        ("layer", image.layer, made.layers[-1].digest),
        ("digest", image.digest, made.digest),
        ("provenance", image.provenance, provenance.digest),
    ):
        if found != expected:
            raise _refused(image, f"its {what} is {found}, not {expected}")
    return made


def _verify_beside(image: ModelImage, registry: Registry, bundle: str) -> None:
    provenance = fetch_artefact(registry, image.repository, image.provenance)
    if provenance.kind != PROVENANCE or provenance.subject.digest != image.digest:
        raise _refused(image, f"{image.provenance} is not its provenance")
    verify_statement(provenance.content, image, bundle)
    if image.sbom is not None:
        sbom = fetch_artefact(registry, image.repository, image.sbom)
        is_beside = sbom.kind == SBOM and sbom.subject.digest == image.digest
        if not is_beside or read_subject(sbom.content) != image.base:
            raise _refused(image, f"{image.sbom} does not list what is in its base")


def _refused(image: ModelImage, why: str) -> ArtefactError:
    return ArtefactError(
        f"Image {image.reference} is not what packaging made: {why}.",
        "It is not used. See who writes to that repository, then package the run again with --force.",
    )
