"""What a part of the pipeline file finds wrong with itself, and where in it."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

Where = tuple[str | int, ...]
"""Where something stands: keys and list positions, from the part that speaks."""


class Fault(NamedTuple):
    """One thing that is wrong."""

    where: Where
    message: str
    hint: str = ""


class FaultsError(ValueError):
    """What a validator raises: several faults at once, each with its place."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__("; ".join(fault.message for fault in faults))
        self.faults = faults


class NotKnownError(Exception):
    """A check asked for a value that the file gives wrongly, or that a misspelt key may have meant."""


def refuse(faults: Iterable[Fault]) -> None:
    """Raise the faults if there are any.

    Raises:
        FaultsError: There are.
    """
    if found := list(faults):
        raise FaultsError(found)


def known(faults: Iterator[Fault]) -> Iterator[Fault]:
    """Yield the faults of one check up to where it needs something that is not known.

    So a check is written as if the whole file were right, and still says what it can of one that is not.
    """
    try:
        yield from faults
    except NotKnownError:
        return


def within(where: Where, faults: Iterator[Fault]) -> Iterator[Fault]:
    """Yield a part's faults as those of the whole it stands in."""
    for fault in known(faults):
        yield fault._replace(where=(*where, *fault.where))
