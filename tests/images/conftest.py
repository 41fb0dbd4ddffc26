"""The real engine and the real registry, one of each for all these tests."""

from engine import docker_engine, engine, server_settings
from registry import container_registry

__all__ = ["container_registry", "docker_engine", "engine", "server_settings"]
