"""The settings of one environment: where things are kept, where stages run, where models are served.

What a model is stands in its pipeline file; what one run wants stands in its options; secrets stand in
connections. A value lives in exactly one of these places. Read once at an edge with `load_settings()`
and handed down; never read at import.
"""

import os
import re
from enum import StrEnum
from pathlib import Path

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from lastmile.errors import SettingsError

CONNECTION_PREFIX = "LASTMILE_CONNECTION_"
MOST_WORKERS = 64
"""A slip of the finger is caught here, not by a machine that starts so many processes."""


class Runtime(StrEnum):
    """Where stages run."""

    LOCAL = "local"


class Target(StrEnum):
    """Where the model is served."""

    PROCESS = "process"


class Settings(BaseSettings):
    """Every setting is an environment variable: `LASTMILE_` and the field's name in capitals."""

    model_config = SettingsConfigDict(env_prefix="LASTMILE_", frozen=True, extra="ignore")

    root: Path = Field(default_factory=Path.cwd)
    """The checkout: pipeline files and relative data paths are found from here."""

    home: Path = Path(".lastmile")
    """All that runs leave on this machine: ledger, store, logs, served models. Relative to the root."""

    store_url: str = ""
    """Where artefacts go, as an fsspec URL. Empty: `store` in the home."""

    ledger_url: SecretStr = SecretStr("")
    """SQLAlchemy URL of the ledger. Empty: `ledger.db`, SQLite, in the home."""

    mlflow_url: str = ""
    """MLflow tracking URI. Empty: `mlflow.db`, SQLite, in the home."""

    runtime: Runtime = Runtime.LOCAL
    """Where stages run."""

    target: Target = Target.PROCESS
    """Where the model is served."""

    workers: int = Field(default=1, ge=1, le=MOST_WORKERS)
    """Workers of a gang when the run does not say."""

    max_restarts: int = Field(default=3, ge=0, le=100)
    """How often a gang that lost a worker starts again from its last checkpoint."""

    barrier_seconds: float = Field(default=300.0, gt=0)
    """How long the gang's workers wait for each other at the start."""

    checkpoint_seconds: float = Field(default=10.0, ge=0)
    """At least this long between two checkpoints (one is always taken on SIGTERM). 0: every epoch."""

    serve_host: str = "127.0.0.1"
    """The address the model server listens on."""

    serve_ports: str = "8600-8699"
    """Ports that served models may take, `first-last`; a pipeline keeps the one it got."""

    serve_workers: int = Field(default=1, ge=1, le=64)
    """Server processes per model."""

    registry: str = ""
    """Where images go, `host[:port][/prefix]`; https, but http on this machine. Empty: no registry."""

    server_image: str = ""
    """Digest of the server base that models are put on. Empty: the one that `make images` made last."""

    base_image: str = "python:3.12-slim"
    """What `make images` builds on: any Debian with Python 3.11 to 3.13."""

    build_image: str = ""
    """Where `make images` installs packages, if that needs more than the base has: a proxy's certificate,
    a package index. Nothing of it but the packages gets into an image. Empty: the base."""

    build_network: str = ""
    """The engine's network for builds, as `docker build --network` takes it. Empty: the engine's own."""

    lease_seconds: float = Field(default=30.0, gt=0)
    """A lock whose holder has not been heard of for so long may be taken over."""

    @field_validator("serve_ports")
    @classmethod
    def _is_port_range(cls, value: str) -> str:
        first, _, last = value.partition("-")
        if not (first.isdigit() and last.isdigit() and 1024 <= int(first) <= int(last) <= 65535):
            raise ValueError("expected two ports from 1024 to 65535, as in 8600-8699")
        return value

    @field_validator("server_image")
    @classmethod
    def _is_digest(cls, value: str) -> str:
        if value and not re.fullmatch(r"sha256:[0-9a-f]{64}", value):
            raise ValueError("expected a digest, sha256: and 64 hexadecimal digits")
        return value

    @property
    def home_path(self) -> Path:
        """The home as an absolute path."""
        return (self.root / self.home).resolve()

    @property
    def pipelines_path(self) -> Path:
        """The folder of the pipeline files."""
        return self.root / "include" / "pipelines"

    @property
    def images_path(self) -> Path:
        """The folder in which this machine keeps its server bases."""
        return self.home_path / "images"

    @property
    def store(self) -> str:
        """The store's URL with its default filled in."""
        return self.store_url or f"file://{self.home_path / 'store'}"

    @property
    def ledger(self) -> str:
        """The ledger's URL with its default filled in. May hold a password: never log it."""
        return self.ledger_url.get_secret_value() or f"sqlite:///{self.home_path / 'ledger.db'}"

    @property
    def mlflow(self) -> str:
        """The tracking URI with its default filled in."""
        return self.mlflow_url or f"sqlite:///{self.home_path / 'mlflow.db'}"


def load_settings() -> Settings:
    """Read the settings from the environment.

    Raises:
        SettingsError: A variable has a value that does not fit; the headline names it.
    """
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors()[0]
        name = f"LASTMILE_{str(first['loc'][0]).upper()}"
        raise SettingsError(
            f"{name} is {first['input']!r}: {first['msg']}",
            f"Set {name} to a value that fits, or unset it for the default.",
        ) from error


def find_connection_url(name: str) -> SecretStr | None:
    """Return the URL of a named connection; None where there is no such connection."""
    url = os.environ.get(CONNECTION_PREFIX + name.upper())
    return SecretStr(url) if url else None


def connection_url(name: str) -> SecretStr:
    """Return the URL of a named connection, as the environment holds it.

    In Airflow the operator puts the Airflow connection of the same name into the stage's environment,
    so the stage looks in one place wherever it runs.

    Raises:
        SettingsError: No such connection.
    """
    variable = CONNECTION_PREFIX + name.upper()
    if url := os.environ.get(variable):
        return SecretStr(url)
    raise SettingsError(
        f"There is no connection named {name!r}.",
        f"In Airflow, add a connection {name!r}; elsewhere set {variable} to its URL.",
    )
