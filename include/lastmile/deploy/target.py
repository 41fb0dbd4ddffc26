"""What a target can do. `process` is one; containers and clusters will be others."""

from collections.abc import Collection
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import ClassVar, Protocol

from lastmile.deploy.endpoint import Endpoint


@dataclass(frozen=True, slots=True)
class Assignment:
    """Which release the servers of a pipeline are to answer with."""

    name: str
    """The pipeline's."""
    version: int
    release: int
    """Number in the ledger."""
    bundle: str
    """Digest of the bundle artefact."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """Deadlines, in seconds."""

    start: float = 60.0
    """For a server to be ready."""
    smoke: float = 20.0
    """For the whole smoke test."""
    switch: float = 60.0
    """For the public server to answer with a new release."""


class Target(Protocol):
    """Where one pipeline's model is served. Whoever calls holds the lease on it."""

    name: ClassVar[str]

    def check(self) -> None:
        """See, before anything is changed, that a release could be served.

        Raises:
            DeployError: It could not; says why.
        """
        ...

    def assigned(self) -> Assignment | None:
        """Return what the public servers were last told to serve; None before the first release."""
        ...

    def preview(self, assignment: Assignment) -> AbstractContextManager[Endpoint]:
        """Serve a release beside the champion, to nobody but us, for as long as the body runs.

        Raises:
            DeployError: It does not become ready.
            ArtefactError: Its bundle is missing or altered.
        """
        ...

    def switch(self, assignment: Assignment) -> None:
        """Tell the public servers to serve this release, and start them where they do not run."""
        ...

    def wait_for(self, assignment: Assignment) -> str:
        """Wait until the public servers answer with this release; return their address.

        Raises:
            DeployError: They do not, within the deadline.
        """
        ...

    def withdraw(self) -> None:
        """End the public servers and forget what they were told: nothing is served then."""
        ...

    def tidy(self, keep: Collection[str]) -> None:
        """End previews that were left behind; delete bundles but these and the one that is served."""
        ...
