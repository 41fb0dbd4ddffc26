import json
import socket
import time
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from lastmile.errors import ExitCode, GangError
from lastmile.train.gang.barrier import meet
from lastmile.train.gang.cluster import Cluster, free_addresses


def start(
    pool: ThreadPoolExecutor, addresses: tuple[str, ...], who: list[int], seconds: float
) -> list[Future[None]]:
    return [pool.submit(meet, Cluster(addresses, index), seconds) for index in who]


def test_all_go_when_the_last_has_come() -> None:
    addresses = free_addresses(4)
    with ThreadPoolExecutor(4) as pool:
        early = start(pool, addresses, [3, 1, 0], 20)
        time.sleep(0.3)
        assert not any(one.done() for one in early)
        for one in early + start(pool, addresses, [2], 20):
            one.result(timeout=10)


def test_one_worker_waits_for_nobody() -> None:
    meet(Cluster(free_addresses(1), 0), 0.01)


def test_those_who_never_came_are_named_to_everybody_within_the_deadline() -> None:
    addresses = free_addresses(4)
    begun = time.monotonic()
    with ThreadPoolExecutor(2) as pool:
        for one in start(pool, addresses, [0, 2], 0.5):
            with pytest.raises(GangError) as caught:
                one.result(timeout=10)
            assert f"worker 1 ({addresses[1]}), worker 3 ({addresses[3]}) never came" in str(
                caught.value
            )
            assert caught.value.exit_code == ExitCode.TRANSIENT
    assert time.monotonic() - begun < 3


def test_a_missing_worker_0_is_named() -> None:
    addresses = free_addresses(2)
    with pytest.raises(GangError, match=r"Within 0\.3 s worker 0 .* never came"):
        meet(Cluster(addresses, 1), 0.3)


@pytest.mark.parametrize(
    "words",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"",
        b'{"index": 1}\n',
        b'{"index": 1, "gang": ["another:1"]}\n',
        b"[]\n",
        b"x" * 100_000,
    ],
)
def test_a_stranger_neither_counts_nor_holds_up_the_gang(words: bytes) -> None:
    addresses = free_addresses(2)
    host, _, port = addresses[0].rpartition(":")
    with ThreadPoolExecutor(2) as pool:
        chief = start(pool, addresses, [0], 20)[0]
        with _connected(host, int(port)) as stranger:
            stranger.sendall(words)
            if not words:
                stranger.shutdown(socket.SHUT_WR)
            time.sleep(0.1)
            assert not chief.done()
            start(pool, addresses, [1], 20)[0].result(timeout=10)
        chief.result(timeout=10)


def test_a_worker_that_was_started_again_counts_once() -> None:
    addresses = free_addresses(3)
    host, _, port = addresses[0].rpartition(":")
    with ThreadPoolExecutor(3) as pool:
        chief = start(pool, addresses, [0], 20)[0]
        with _connected(host, int(port)) as dead:
            dead.sendall(json.dumps({"index": 1, "gang": list(addresses)}).encode() + b"\n")
        first = start(pool, addresses, [1], 20)[0]
        time.sleep(0.2)
        assert not chief.done()
        start(pool, addresses, [2], 20)[0].result(timeout=10)
        first.result(timeout=10)
        chief.result(timeout=10)


def test_a_taken_port_is_said() -> None:
    addresses = free_addresses(2)
    host, _, port = addresses[0].rpartition(":")
    with socket.create_server((host, int(port))), pytest.raises(GangError, match="cannot listen"):
        meet(Cluster(addresses, 0), 5)


def _connected(host: str, port: int) -> socket.socket:
    until = time.monotonic() + 5
    while True:
        try:
            return socket.create_connection((host, port), timeout=1)
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.02)
