"""The image of a release candidate: `image.json` of what packaging hands on."""

from lastmile.pipeline.base import Strict


class ModelImage(Strict):
    """Which image serves the candidate. Every part is named by its digest, `sha256:...`."""

    registry: str | None
    """`host[:port]` of the registry that has it; None: none has, whoever needs the image makes it anew."""
    repository: str
    """Its repository there."""
    digest: str
    """The image's identity: what a cluster runs."""
    config: str
    """The config's digest: by this name an engine without containerd's store knows the image."""
    layer: str
    """The layer with the model."""
    base: str
    """The server base that it stands on."""
    provenance: str
    """The artefact beside the image that says how it was made."""
    sbom: str | None
    """The artefact beside the image that lists what is in its base; None where the base came without."""

    @property
    def reference(self) -> str:
        """What an engine or a cluster pulls: by digest, never by tag."""
        host = f"{self.registry}/" if self.registry else ""
        return f"{host}{self.repository}@{self.digest}"
