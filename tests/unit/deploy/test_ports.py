"""Which port a pipeline's model gets."""

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from deployed import free_ports
from lastmile.deploy.ports import port_range, reserve
from lastmile.deploy.server import ServerProcess
from lastmile.errors import DeployError, SettingsError
from lastmile.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(root=tmp_path, serve_ports=free_ports(3))


@contextmanager
def listening(port: int) -> Iterator[None]:
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", port))
        holder.listen()
        yield


def server(tmp_path: Path, name: str) -> ServerProcess:
    return ServerProcess(tmp_path / "serve" / name)


def test_a_pipeline_keeps_its_port(tmp_path: Path, settings: Settings) -> None:
    first, second, _ = port_range(settings)
    with listening(first):
        assert reserve(server(tmp_path, "a"), settings).port == second
    assert reserve(server(tmp_path, "a"), settings).port == second
    assert reserve(server(tmp_path, "b"), settings).port == first


def test_two_pipelines_that_ask_at_once_get_two_ports(tmp_path: Path, settings: Settings) -> None:
    with ThreadPoolExecutor(3) as pool:
        records = pool.map(lambda name: reserve(server(tmp_path, name), settings), "abc")
        assert sorted(record.port for record in records) == list(port_range(settings))
    with pytest.raises(SettingsError, match="No port of") as caught:
        reserve(server(tmp_path, "d"), settings)
    assert "LASTMILE_SERVE_PORTS" in caught.value.hint


def test_a_port_outside_a_new_range_is_given_up(tmp_path: Path, settings: Settings) -> None:
    reserve(server(tmp_path, "a"), settings)
    elsewhere = settings.model_copy(update={"serve_ports": free_ports()})
    assert reserve(server(tmp_path, "a"), elsewhere).port in port_range(elsewhere)


def test_a_port_that_another_program_took_is_told(tmp_path: Path, settings: Settings) -> None:
    port = reserve(server(tmp_path, "a"), settings).port
    with listening(port), pytest.raises(DeployError, match=f"Port {port}, where a is served"):
        reserve(server(tmp_path, "a"), settings)


@pytest.mark.parametrize("host", ["192.0.2.1", "nowhere.invalid"])
def test_a_host_that_is_not_this_machine_is_a_wrong_setting(
    tmp_path: Path, settings: Settings, host: str
) -> None:
    with pytest.raises(SettingsError, match=host) as caught:
        reserve(server(tmp_path, "a"), settings.model_copy(update={"serve_host": host}))
    assert "LASTMILE_SERVE_HOST" in caught.value.hint
