"""Images in a Docker engine: loaded without a registry, sending only the layers that it lacks."""

import tempfile
from typing import BinaryIO, cast

from lastmile.clients.docker import Engine, EngineError, EngineImage
from lastmile.errors import ArtefactError
from lastmile.oci.archive import write_archive
from lastmile.oci.image import BASE_DIGEST, Image


def load(image: Image, engine: Engine, name: str, base: Image | None = None) -> EngineImage:
    """Load an image into an engine; nothing moves where the engine has it.

    Args:
        image: What to load.
        engine: Where to.
        name: What it shall be called there, `repository:tag`.
        base: The image that it stands on. Where the engine has that, its layers are not sent again.

    Returns:
        The engine's image: of exactly this config, or manifest.

    Raises:
        ArtefactError: A layer that the engine lacks is not on this machine, or what the engine has in the
            end is another image.
        EngineError: The engine does not take it.
        ServiceUnavailableError: The engine does not answer.
    """
    known = find(image, engine)
    if known is None:
        shared = _shared(image, base, engine)
        try:
            _send(image, engine, name, shared)
        except EngineError:
            if not shared:
                raise
            _send(image, engine, name, frozenset())  # an engine that wants every layer anew
        known = find(image, engine)
    if known is None:
        raise ArtefactError(
            f"The Docker engine has no image {image.config_digest} after it was loaded.",
            "The image is not used. See the engine's log, and that its disk is sound.",
        )
    return known


def find(image: Image, engine: Engine) -> EngineImage | None:
    """Return an engine's image that is, by digest, this one.

    Raises:
        ServiceUnavailableError: The engine does not answer.
    """
    return engine.find_image(image.config_digest) or engine.find_image(image.digest)


def _shared(image: Image, base: Image | None, engine: Engine) -> frozenset[str]:
    """Return the layers that need not be sent, because the engine has the base."""
    if base is None or image.parts.annotations.get(BASE_DIGEST) != base.digest:
        return frozenset()
    if engine.find_image(base.config_digest) is None:
        return frozenset()
    return frozenset(layer.digest for layer in base.layers)


def _send(image: Image, engine: Engine, name: str, leave_out: frozenset[str]) -> None:
    with tempfile.TemporaryFile() as file:
        archive = cast("BinaryIO", file)
        write_archive(image, archive, name=name, leave_out=leave_out)
        archive.seek(0)
        engine.load_image(archive)
