"""What a pipeline's releases say: which served before which, and which were taken back by hand."""

from collections.abc import Sequence
from dataclasses import dataclass

from lastmile.ledger.ledger import Release

ROLLBACK = "rollback__"
"""The run id of a release that a person went back to begins with this."""
SERVED = ("serving", "superseded")


@dataclass(frozen=True)
class History:
    """The way back."""

    way: tuple[Release, ...]
    """One release per step, the oldest first, the champion last. A person who goes back to an earlier
    step takes the later ones off, so that going back twice goes back two steps.
    """
    taken_back: frozenset[str]
    """Bundles that a person went back from, and that nobody has chosen since."""

    @classmethod
    def of(cls, releases: Sequence[Release]) -> "History":
        """Read the releases of one pipeline, in any order."""
        way: list[Release] = []
        taken_back: set[str] = set()
        for release in sorted(releases, key=lambda release: release.id):
            if release.status not in SERVED:
                continue
            if release.run_id.startswith(ROLLBACK):
                step = _step_of(way, release.bundle)
                later = way[-1:] if step is None else way[step + 1 :]
                taken_back.update(left.bundle for left in later)
                way = way[:step]
            taken_back.discard(release.bundle)
            way.append(release)
        return cls(tuple(way), frozenset(taken_back))

    @property
    def previous(self) -> Release | None:
        """The release that a rollback goes to."""
        return self.way[-2] if len(self.way) > 1 else None


def _step_of(way: Sequence[Release], bundle: str) -> int | None:
    """Return the last step at which a bundle served; None where it is no step of the way."""
    steps = [index for index, release in enumerate(way) if release.bundle == bundle]
    return steps[-1] if steps else None
