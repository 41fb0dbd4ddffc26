"""Builds our own images with the Docker engine: each only when one of its inputs has changed."""

import logging
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from lastmile.clients.docker import Engine, EngineImage
from lastmile.clients.registry import Registry
from lastmile.errors import ServiceUnavailableError, StoreError
from lastmile.oci.artefact import SBOM, Artefact
from lastmile.oci.image import KEY, LOCK, SOURCE, Image
from lastmile.oci.layout import Layout
from lastmile.oci.remote import attach, publish
from lastmile.oci.saved import import_saved
from lastmile.oci.sbom import write_sbom
from lastmile.package.recipes import SERVER, BuildContext, Recipe, collect
from lastmile.pipeline.base import Strict
from lastmile.settings import Settings

log = logging.getLogger(__name__)

PREFIX = "lastmile"
"""What our images' names begin with in the engine."""
KEY_DIGITS = 16
BASE_NAME = "org.opencontainers.image.base.name"


class Built(Strict):
    """What became of one image."""

    name: str
    key: str
    image: str
    """Its name in the engine."""
    digest: str | None
    """Of its manifest; None for an image of the engine that no registry has given one yet."""
    reference: str | None
    """By which a registry has it; None without one."""
    was_there: bool
    """Whether nothing had to be built."""
    sent_bytes: int
    compressed_bytes: int | None
    seconds: float


@dataclass(frozen=True)
class Builder:
    """Where images are built, and where they go."""

    settings: Settings
    engine: Engine
    registry: Registry | None = None
    tell: Callable[[str], None] = log.info

    def build(self, recipe: Recipe) -> Built:
        """Build an image unless the same inputs have made it before; send it to the registry.

        Raises:
            SettingsError: The checkout or the base image is not there; the registry refuses us.
            EngineError: A step of the Dockerfile fails.
            ServiceUnavailableError: The engine or the registry does not answer.
            StoreError: There is no room for it here.
        """
        started = time.monotonic()
        context = collect(recipe, self.settings.root)
        base = self._base()
        key = context.key(base.id, self.engine.platform)
        tag = f"{PREFIX}/{recipe.name}:{key[:KEY_DIGITS]}"
        found = self.engine.find_image(tag)
        if found is None:
            self.tell(f"{recipe.name}: building {tag} on {self.settings.base_image} ...")
            self._build(recipe, context, key, tag)
        keep = self._keep_server if recipe is SERVER else self._push
        digest, reference, sent, size = keep(recipe, tag, key[:KEY_DIGITS])
        return Built(
            name=recipe.name,
            key=key,
            image=tag,
            digest=digest,
            reference=reference,
            was_there=found is not None,
            sent_bytes=sent,
            compressed_bytes=size,
            seconds=round(time.monotonic() - started, 2),
        )

    def _base(self) -> EngineImage:
        name = self.settings.base_image
        found = self.engine.find_image(name)
        if found is None:
            self.tell(f"Pulling {name} ...")
            found = self.engine.pull_image(name)
        return found

    def _build(self, recipe: Recipe, context: BuildContext, key: str, tag: str) -> None:
        settings = self.settings
        self.engine.build_image(
            context.to_tar(),
            tag=tag,
            arguments={
                "BASE_IMAGE": settings.base_image,
                "BUILD_IMAGE": settings.build_image or settings.base_image,
            },
            labels={
                LOCK: context.lock,
                SOURCE: context.source,
                KEY: key,
                BASE_NAME: settings.base_image,
            },
            network=settings.build_network or None,
            on_step=lambda step: self.tell(f"  {step}"),
        )

    def _keep_server(
        self, recipe: Recipe, tag: str, key: str
    ) -> tuple[str, str | None, int, int | None]:
        """Keep the server base in this machine's own folder: models are put on it without the engine."""
        layout = Layout(self.settings.images_path)
        image = layout.find(f"{recipe.name}:{key}")
        if image is None or not image.is_whole:
            self.tell(f"{recipe.name}: packing its layers ...")
            image = self._import(tag, layout)
            layout.name(image, f"{recipe.name}:{key}")
            layout.attach(Artefact.about(image.descriptor, SBOM, write_sbom(image)))
        layout.name(image, f"{recipe.name}:{key}", recipe.name)
        if self.registry is None:
            return image.digest, None, 0, image.compressed_bytes
        repository = self.registry.address.repository(recipe.name)
        published = publish(image, self.registry, repository, key)
        for artefact in layout.attached(image.digest):
            attach(artefact, self.registry, repository)
        return image.digest, published.reference, published.sent_bytes, image.compressed_bytes

    def _import(self, tag: str, layout: Layout) -> Image:
        place = self.settings.images_path
        try:
            place.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".save-", dir=place) as folder:
                archive = Path(folder) / "image.tar"
                with archive.open("wb") as file:
                    self.engine.save_image(tag, cast("BinaryIO", file))
                return import_saved(archive, layout)
        except OSError as error:
            raise StoreError(
                f"{tag} cannot be kept in {place}: {error.strerror or error}.",
                "Free some space and see that this user may write there, or set LASTMILE_HOME.",
            ) from error

    def _push(
        self, recipe: Recipe, tag: str, key: str
    ) -> tuple[str | None, str | None, int, int | None]:
        """Let the engine send the image: it is large, and nothing is ever put on top of it."""
        if self.registry is None:
            return None, None, 0, None
        address, account = self.registry.address, self.registry.account
        repository = f"{address.host}/{address.repository(recipe.name)}"
        self.tell(f"{recipe.name}: sending it to {repository} ...")
        self.engine.tag_image(tag, repository, key)
        login = (account.user, account.password.get_secret_value()) if account else None
        digest = self.engine.push_image(repository, key, login)
        if not self.registry.has_manifest(address.repository(recipe.name), digest):
            raise ServiceUnavailableError(
                f"{repository} does not have {digest} after the engine sent it.",
                "See the registry's log; then run `make images` again.",
            )
        return digest, f"{repository}@{digest}", 0, None
