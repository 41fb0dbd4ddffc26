"""Who is in the gang and where: TF_CONFIG."""

import json
import os
import socket
from contextlib import ExitStack
from dataclasses import dataclass

from lastmile.errors import SettingsError

VARIABLE = "TF_CONFIG"


@dataclass(frozen=True)
class Cluster:
    """The workers' addresses, `host:port`, and which of them this one is."""

    addresses: tuple[str, ...]
    index: int

    @property
    def size(self) -> int:
        """How many workers there are."""
        return len(self.addresses)

    @property
    def is_chief(self) -> bool:
        """Whether this worker writes checkpoints and the bundle."""
        return self.index == 0

    def to_variable(self) -> str:
        """Return the value of TF_CONFIG, as TensorFlow defines it."""
        return json.dumps(
            {
                "cluster": {"worker": list(self.addresses)},
                "task": {"type": "worker", "index": self.index},
            }
        )

    @classmethod
    def from_environment(cls) -> "Cluster":
        """Read TF_CONFIG.

        Raises:
            SettingsError: It is missing, or no gang of workers.
        """
        text = os.environ.get(VARIABLE, "")
        try:
            value = json.loads(text)
            addresses = tuple(str(address) for address in value["cluster"]["worker"])
            cluster = cls(addresses, int(value["task"]["index"]))
        except (ValueError, KeyError, TypeError) as error:
            raise SettingsError(
                f"{VARIABLE} is {text!r:.200}: no gang of workers.",
                "Workers are started by `lastmile train`, which sets it.",
            ) from error
        if not 0 <= cluster.index < cluster.size:
            raise SettingsError(
                f"{VARIABLE} has {cluster.size} workers, and index {cluster.index}.",
                "The index counts from 0.",
            )
        return cluster


def free_addresses(count: int) -> tuple[str, ...]:
    """Return addresses on this machine that nobody listens on at the moment."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:  # all are held until the last is found, so that they differ
            one.bind(("127.0.0.1", 0))
        return tuple(f"127.0.0.1:{one.getsockname()[1]}" for one in sockets)
