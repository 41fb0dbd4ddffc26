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
    """One release per step, the oldest first, the champion last. Going back to an earlier step takes
    the later ones off, so that going back twice goes back two steps.
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
            by_hand = release.run_id.startswith(ROLLBACK)
            later = _later(way, release.bundle)
            if by_hand:
                taken_back.update(step.bundle for step in (later or way[-1:]))
            taken_back.discard(release.bundle)
            way = [*(way[: len(way) - len(later) - 1] if later is not None else way), release]
        return cls(tuple(way), frozenset(taken_back))

    @property
    def previous(self) -> Release | None:
        """The release that a rollback goes to."""
        return self.way[-2] if len(self.way) > 1 else None


def _later(way: list[Release], bundle: str) -> list[Release] | None:
    """Return the steps after a bundle's own; None where it is no step of the way."""
    for index in range(len(way) - 1, -1, -1):
        if way[index].bundle == bundle:
            return way[index + 1 :]
    return None
