"""The start barrier: nobody builds a strategy before all are there.

TensorFlow waits without limit for a worker that never comes. So worker 0 first listens on its own
TensorFlow address, the others say hello there, and when all did, each hears "go". At the deadline
everybody who waits learns who never came.
"""

import json
import socket
import time
from dataclasses import dataclass

from lastmile.errors import GangError
from lastmile.train.gang.cluster import Cluster

RETRY_SECONDS = 0.1
HELLO_SECONDS = 2.0
"""How long a caller may take to say who it is; a stranger must not hold up the gang."""
LINE_BYTES = 1 << 16


def meet(cluster: Cluster, seconds: float) -> None:
    """Wait until every worker of the gang is here.

    Raises:
        GangError: At the deadline some had not come; the headline names them.
    """
    if cluster.size == 1:
        return
    deadline = time.monotonic() + seconds
    if cluster.is_chief:
        _Host(cluster, deadline, seconds).gather()
    else:
        _call(cluster, deadline, seconds)


@dataclass
class _Host:
    cluster: Cluster
    deadline: float
    seconds: float

    def gather(self) -> None:
        host, _, port = self.cluster.addresses[0].rpartition(":")
        callers: dict[int, socket.socket] = {}
        try:
            with socket.create_server(("" if host != "127.0.0.1" else host, int(port))) as server:
                while len(callers) < self.cluster.size - 1:
                    self._accept(server, callers)
            _tell(callers, "go")
        except OSError as error:
            raise GangError(
                f"Worker 0 cannot listen on {self.cluster.addresses[0]}: {error}",
                "The port was taken in between; the next start picks another.",
            ) from error
        finally:
            for caller in callers.values():
                caller.close()

    def _accept(self, server: socket.socket, callers: dict[int, socket.socket]) -> None:
        left = self.deadline - time.monotonic()
        if left <= 0:
            absent = [i for i in range(1, self.cluster.size) if i not in callers]
            error = _absent(self.cluster, absent, self.seconds)
            _tell(callers, error.headline)
            raise error
        server.settimeout(left)
        try:
            caller, _ = server.accept()
        except TimeoutError:
            return
        caller.settimeout(min(left, HELLO_SECONDS))
        index = _read_hello(caller, self.cluster)
        if index is None:
            caller.close()
        else:
            if index in callers:  # it gave up on its first call, or was started again
                callers[index].close()
            callers[index] = caller


def _call(cluster: Cluster, deadline: float, seconds: float) -> None:
    """Say hello to worker 0 until it says go."""
    host, _, port = cluster.addresses[0].rpartition(":")
    while (left := deadline - time.monotonic()) > 0:
        try:
            with socket.create_connection((host, int(port)), timeout=min(left, 5.0)) as server:
                server.sendall(_hello(cluster))
                # Worker 0 speaks at its own deadline at the latest, which may be a little after ours.
                server.settimeout(left + HELLO_SECONDS)
                answer = _read_line(server)
        except OSError:
            answer = ""
        if answer == "go":
            return
        if answer:
            raise GangError(answer, _hint())
        time.sleep(RETRY_SECONDS)
    raise _absent(cluster, [0], seconds)


def _hello(cluster: Cluster) -> bytes:
    return json.dumps({"index": cluster.index, "gang": cluster.addresses}).encode() + b"\n"


def _read_hello(caller: socket.socket, cluster: Cluster) -> int | None:
    """Return which worker calls; None for anybody who is not of this gang."""
    try:
        value = json.loads(_read_line(caller))
        index = value["index"]
        is_ours = value["gang"] == list(cluster.addresses) and index in range(1, cluster.size)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return int(index) if is_ours else None


def _read_line(connection: socket.socket) -> str:
    """Read up to a line's end, at most `LINE_BYTES`."""
    received = b""
    while not received.endswith(b"\n") and len(received) < LINE_BYTES:
        if not (part := connection.recv(LINE_BYTES - len(received))):
            break
        received += part
    return received.decode(errors="replace").strip()


def _tell(callers: dict[int, socket.socket], text: str) -> None:
    for caller in callers.values():
        try:
            caller.sendall(text.encode() + b"\n")
        except OSError:
            continue  # it went away; the strategy, or its supervisor, will notice


def _absent(cluster: Cluster, indices: list[int], seconds: float) -> GangError:
    names = ", ".join(f"worker {i} ({cluster.addresses[i]})" for i in indices)
    return GangError(f"Within {seconds:g} s {names} never came.", _hint())


def _hint() -> str:
    return "See why it did not start; LASTMILE_BARRIER_SECONDS is how long the others wait."
