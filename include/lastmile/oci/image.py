"""A container image in hand; and the model image: a base and one layer."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from lastmile.artefacts.passport import Passport
from lastmile.oci.documents import (
    CONFIG_TYPE,
    MANIFEST_TYPE,
    Descriptor,
    Manifest,
    describe,
    digest_of_bytes,
    read_config,
    read_manifest,
    write_manifest,
)
from lastmile.oci.layer import LayerFile, write_layer
from lastmile.store import canonical_json

MODEL_FOLDER = "model"
"""Where the server image looks for its model: /model."""
EPOCH = "1970-01-01T00:00:00Z"

TITLE = "org.opencontainers.image.title"
VERSION = "org.opencontainers.image.version"
BASE_DIGEST = "org.opencontainers.image.base.digest"
LABELS = "dev.lastmile."
"""What our own labels begin with."""
PIPELINE, BUNDLE = f"{LABELS}pipeline", f"{LABELS}bundle"
LOCK, SOURCE, KEY = f"{LABELS}lock", f"{LABELS}source", f"{LABELS}key"

_OF_THE_BUILDER = ("container", "container_config", "docker_version")
"""What an engine writes about its own building of the base, and would not be true of the model image."""


@dataclass(frozen=True)
class Image:
    """An image: its documents, and those of its layers that are at hand as files."""

    manifest: bytes
    config: bytes
    files: Mapping[str, Path] = field(default_factory=dict)
    """Layers on this machine, by digest."""
    origin: str | None = None
    """The repository of our registry that holds the other layers."""

    @property
    def digest(self) -> str:
        """The image's identity."""
        return digest_of_bytes(self.manifest)

    @property
    def config_digest(self) -> str:
        """What an engine without containerd's store calls the image's id."""
        return digest_of_bytes(self.config)

    @cached_property
    def parts(self) -> Manifest:
        """The manifest, read."""
        return read_manifest(self.manifest, f"Image {self.digest}")

    @property
    def layers(self) -> tuple[Descriptor, ...]:
        """The layers, the lowest first."""
        return self.parts.layers

    @property
    def is_whole(self) -> bool:
        """Whether every layer is at hand."""
        return all(layer.digest in self.files for layer in self.layers)

    @property
    def labels(self) -> dict[str, str]:
        """The labels."""
        return dict(self.read_config()["config"].get("Labels") or {})

    @property
    def descriptor(self) -> Descriptor:
        """What points at the image."""
        return describe(MANIFEST_TYPE, self.manifest)

    @property
    def compressed_bytes(self) -> int:
        """What a registry keeps of it, and a first pull moves."""
        return sum(layer.size for layer in self.layers)

    def read_config(self) -> dict[str, Any]:
        """Return the config, whole."""
        return read_config(self.config, f"The config of image {self.digest}")


@dataclass(frozen=True, kw_only=True)
class PackagedModel:
    """A bundle that is to become an image."""

    pipeline: str
    version: int
    bundle: str
    """Digest of the bundle artefact."""
    folder: Path
    """Its files."""
    files: Mapping[str, str]
    """SHA-256 of each file, by name."""

    @classmethod
    def of(cls, passport: Passport, folder: Path) -> "PackagedModel":
        """Return the model that a passport is about, whose files are in a folder."""
        return cls(
            pipeline=passport.pipeline,
            version=passport.version,
            bundle=passport.bundle,
            folder=folder,
            files=passport.files,
        )


def build_model_image(base: Image, model: PackagedModel, scratch: Path) -> Image:
    """Put a model on top of a server base: one more layer, a config and a manifest.

    Nothing of the run, the machine or the time goes in: the same version of a model on the same base has
    the same digest wherever and whenever it is made.

    Args:
        base: The server base.
        model: What goes in.
        scratch: A folder for the layer; it stays there.

    Raises:
        ArtefactError: A file of the bundle is not what its digest says.
    """
    part = scratch / "layer"
    layer, diff_id = write_layer(part, _layer_files(model))
    path = part.rename(scratch / layer.digest.removeprefix("sha256:"))
    labels = _labels(base, model)
    config = canonical_json(_derive_config(base.read_config(), diff_id, labels))
    manifest = write_manifest(
        describe(CONFIG_TYPE, config),
        (*base.layers, layer),
        annotations={BASE_DIGEST: base.digest, TITLE: model.pipeline, VERSION: str(model.version)},
    )
    return Image(manifest, config, {**base.files, layer.digest: path}, base.origin)


def pointer_of(model: PackagedModel) -> bytes:
    """Return what the server reads first. The release is the ledger's, which no image can know: 0."""
    return canonical_json(
        {
            "name": model.pipeline,
            "version": model.version,
            "release": 0,
            "bundle": f"/{MODEL_FOLDER}/bundle",
        }
    )


def _layer_files(model: PackagedModel) -> dict[str, LayerFile | bytes]:
    files: dict[str, LayerFile | bytes] = {
        f"{MODEL_FOLDER}/bundle/{name}": LayerFile(model.folder / name, sha256)
        for name, sha256 in model.files.items()
    }
    files[f"{MODEL_FOLDER}/pointer.json"] = pointer_of(model)
    return files


def _labels(base: Image, model: PackagedModel) -> dict[str, str]:
    return {
        **base.labels,
        TITLE: model.pipeline,
        VERSION: str(model.version),
        BASE_DIGEST: base.digest,
        PIPELINE: model.pipeline,
        BUNDLE: model.bundle,
    }


def _derive_config(base: Mapping[str, Any], diff_id: str, labels: dict[str, str]) -> dict[str, Any]:
    config = {name: value for name, value in base.items() if name not in _OF_THE_BUILDER}
    config["created"] = EPOCH
    config["config"] = {**base["config"], "Labels": labels}
    config["rootfs"] = {**base["rootfs"], "diff_ids": [*base["rootfs"]["diff_ids"], diff_id]}
    step = {"created": EPOCH, "created_by": "lastmile package", "comment": "the model"}
    config["history"] = [*base.get("history", []), step]
    return config
