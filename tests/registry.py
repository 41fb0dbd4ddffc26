"""A real container registry of the tests' own, on a loopback port; open, with a password, or with tokens."""

import base64
import datetime
import hashlib
import http.server
import json
import shutil
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

import httpx
import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import SecretStr

from lastmile.clients.registry import Registry
from lastmile.clients.registry_address import RegistryAccount, RegistryAddress
from lastmile.clients.registry_calls import Persistence

START_SECONDS = 30
USER, PASSWORD = "pusher", "s3cret"
BCRYPTED = "$2b$05$3NLNQjKP.qofMpzp.3OZJuuTeoRuA4g7hKlOE5qAgETWSl2RYZjEm"
"""The password, as the registry's file of users wants it."""
ACCOUNT = RegistryAccount(user=USER, password=SecretStr(PASSWORD))
IMPATIENT = Persistence(attempts=3, first_wait=0.02, chunk_bytes=1 << 20)

Login = Literal["none", "basic", "bearer"]


def why_no_registry() -> str | None:
    """Say what is missing on this machine, or None where a registry can be had."""
    if shutil.which("docker-registry") is None:
        return "no container registry here (Debian: apt install docker-registry)"
    return None


@dataclass(frozen=True)
class RunningRegistry:
    """A started registry."""

    host: str
    """`127.0.0.1:port`."""
    folder: Path
    """Its storage."""

    def open(self, account: RegistryAccount | None = None, prefix: str = "models") -> Registry:
        """Return a client that does not wait long."""
        address = RegistryAddress.parse(f"{self.host}/{prefix}")
        return Registry(address, account, IMPATIENT)

    def half_uploads(self) -> list[Path]:
        """Return the bytes that the registry holds of uploads that never ended."""
        return list(self.folder.rglob("_uploads/*/data"))


@contextmanager
def running_registry(folder: Path, login: Login = "none") -> Iterator[RunningRegistry]:
    """Start an empty registry; it ends with the block."""
    folder.mkdir(parents=True, exist_ok=True)
    port = _free_port()
    with _auth(folder, login) as auth:
        config = {
            "version": 0.1,
            "log": {"level": "error", "accesslog": {"disabled": True}},
            "storage": {
                "filesystem": {"rootdirectory": str(folder / "data")},
                "delete": {"enabled": True},
            },
            "http": {"addr": f"127.0.0.1:{port}"},
            **({"auth": auth} if auth else {}),
        }
        (folder / "config.yml").write_text(json.dumps(config))  # JSON is YAML
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                ["docker-registry", "serve", str(folder / "config.yml")], stdout=log, stderr=log
            )
        try:
            _wait_for(port, process, folder / "log")
            yield RunningRegistry(f"127.0.0.1:{port}", folder / "data")
        finally:
            process.terminate()
            process.wait(timeout=30)


@pytest.fixture(scope="session")
def container_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRegistry]:
    """An open registry, for a conftest to take over."""
    if missing := why_no_registry():
        pytest.skip(missing)
    with running_registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@contextmanager
def _auth(folder: Path, login: Login) -> Iterator[dict[str, Any] | None]:
    if login == "none":
        yield None
    elif login == "basic":
        (folder / "users").write_text(f"{USER}:{BCRYPTED}\n")
        yield {"htpasswd": {"realm": "lastmile", "path": str(folder / "users")}}
    else:
        with _token_server(folder) as realm:
            yield {
                "token": {
                    "realm": realm,
                    "service": "lastmile",
                    "issuer": "tests",
                    "rootcertbundle": str(folder / "issuer.pem"),
                }
            }


@contextmanager
def _token_server(folder: Path) -> Iterator[str]:
    """Give the address of a server that hands out the tokens which a registry takes."""
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _self_signed(key)
    (folder / "issuer.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    chain = [base64.b64encode(certificate.public_bytes(serialization.Encoding.DER)).decode()]
    expected = f"Basic {base64.b64encode(f'{USER}:{PASSWORD}'.encode()).decode()}"

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.headers.get("Authorization") != expected:
                self.send_error(401)
                return
            query = parse_qs(urlsplit(self.path).query)
            token = _token(key, chain, query.get("scope", []))
            content = json.dumps({"token": token}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/token"
        finally:
            server.shutdown()
            thread.join()


def _token(key: ec.EllipticCurvePrivateKey, chain: list[str], scopes: list[str]) -> str:
    now = int(time.time())
    access = []
    for scope in scopes:
        kind, name, actions = scope.split(":")
        access.append({"type": kind, "name": name, "actions": actions.split(",")})
    claims = {"iss": "tests", "sub": USER, "aud": "lastmile", "jti": uuid.uuid4().hex,
              "iat": now, "nbf": now - 10, "exp": now + 300, "access": access}  # fmt: skip
    return jwt.encode(claims, key, algorithm="ES256", headers={"x5c": chain})


def _self_signed(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "tests")])
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"http://127.0.0.1:{port}/v2/", trust_env=False).status_code in (200, 401):
                return
        except httpx.HTTPError:
            time.sleep(0.05)
    raise AssertionError(f"the registry did not start: {log.read_text(errors='replace')[-2000:]}")


def digest_of(content: bytes) -> str:
    """Return a content's digest, by the plainest means."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
