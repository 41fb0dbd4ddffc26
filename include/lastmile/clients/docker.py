"""A Docker engine: builds images, loads and saves them, runs containers. The SDK is imported only here."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, BinaryIO

import docker
import requests
from docker.constants import DEFAULT_DOCKER_API_VERSION
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from docker.utils import kwargs_from_env

from lastmile.errors import (
    ArtefactError,
    LastmileError,
    PermanentError,
    ServiceUnavailableError,
)

log = logging.getLogger(__name__)

TIMEOUT_SECONDS = 120
READ_BYTES = 2 << 20
LAST_LINES = 15
"""How much of a failed build's or a container's output goes into the error."""

_HINT = "Start the Docker engine (`docker info` shows whether it runs), or set DOCKER_HOST to one."


class EngineError(PermanentError):
    """The engine refuses what it was asked."""


@dataclass(frozen=True, slots=True)
class EngineImage:
    """An image that the engine has."""

    id: str
    """The digest of its config; of its manifest on an engine with containerd's store."""
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerSpec:
    """A container to start: nobody's root, nothing to write but memory, no privilege to gain."""

    image: str
    """Its id or digest, never a tag."""
    name: str
    port: int
    """The port it listens on."""
    host: str = "127.0.0.1"
    """The address that the port is published on."""
    host_port: int = 0
    """0: a free one."""
    labels: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()
    memory_bytes: int | None = None
    restarts: bool = False
    """Whether the engine starts it again when it ends by itself, and after a reboot."""


@dataclass(frozen=True, slots=True)
class Container:
    """A container, as the engine told of it."""

    id: str
    name: str
    image: str
    """The image's id."""
    is_running: bool
    host_port: int | None
    labels: Mapping[str, str]
    exit_code: int | None
    """None while it runs."""


class Engine:
    """The engine that the environment names (DOCKER_HOST), or another. Connects on first use."""

    def __init__(self, url: str | None = None, timeout: int = TIMEOUT_SECONDS) -> None:
        self._url = url
        self._timeout = timeout

    def __enter__(self) -> "Engine":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connection, if there is one."""
        if "_client" in self.__dict__:
            self._client.close()

    def check(self) -> str:
        """See that the engine answers; return its version.

        Raises:
            ServiceUnavailableError: It does not.
        """
        with self._reporting("answer"):
            return str(self._client.version()["Version"])

    @property
    def platform(self) -> str:
        """What it builds for, `linux/amd64`.

        Raises:
            ServiceUnavailableError: It does not answer.
        """
        with self._reporting("answer"):
            version = self._client.version()
            return f"{version['Os']}/{version['Arch']}"

    # Images

    def find_image(self, name: str) -> EngineImage | None:
        """Return an image by id, digest or tag; None where the engine has none.

        Raises:
            ServiceUnavailableError: The engine does not answer.
        """
        with self._reporting(f"look for image {name}"):
            try:
                found = self._client.images.get(name)
            except ImageNotFound:
                return None
            return EngineImage(str(found.id), dict(found.labels))

    def pull_image(self, name: str) -> EngineImage:
        """Fetch an image from its registry.

        Raises:
            EngineError: The registry has none of that name, or the engine may not have it.
            ServiceUnavailableError: The engine does not answer.
        """
        with self._reporting(f"pull image {name}"):
            found = self._client.images.pull(name)
            return EngineImage(str(found.id), dict(found.labels))

    def build_image(
        self,
        context: BinaryIO,
        *,
        tag: str,
        arguments: Mapping[str, str],
        labels: Mapping[str, str],
        network: str | None = None,
        on_step: Callable[[str], None] = log.debug,
    ) -> EngineImage:
        """Build an image from a context, a tar with a Dockerfile in it.

        Raises:
            EngineError: A step of the Dockerfile fails; the hint ends with its output.
            ServiceUnavailableError: The engine does not answer.
        """
        with self._reporting(f"build {tag}"):
            events = self._client.api.build(
                fileobj=context,
                custom_context=True,
                tag=tag,
                buildargs=dict(arguments),
                labels=dict(labels),
                network_mode=network,
                rm=True,
                forcerm=True,
                decode=True,
            )
            _follow(events, f"build {tag}", on_step)
        return self._must_have(tag)

    def save_image(self, image: str, target: BinaryIO) -> None:
        """Write an image's archive into a file.

        Raises:
            ArtefactError: The engine has no such image.
            ServiceUnavailableError: The engine does not answer.
        """
        with self._reporting(f"save {image}"):
            for chunk in self._client.api.get_image(image, chunk_size=READ_BYTES):
                target.write(chunk)

    def load_image(self, archive: Iterable[bytes] | BinaryIO) -> None:
        """Take an archive's images.

        Raises:
            EngineError: The archive is none that this engine reads.
            ServiceUnavailableError: The engine does not answer.
        """
        with self._reporting("load an image"):
            events = self._client.api.load_image(archive)  # type: ignore[no-untyped-call]
            _follow(events, "load an image", log.debug)

    def tag_image(self, image: str, repository: str, tag: str) -> None:
        """Give an image a further name.

        Raises:
            ArtefactError: The engine has no such image.
            ServiceUnavailableError: The engine does not answer.
        """
        with self._reporting(f"tag {image}"):
            self._client.api.tag(image, repository, tag)

    def push_image(self, repository: str, tag: str, account: tuple[str, str] | None = None) -> str:
        """Send an image to a registry; return its digest there.

        Raises:
            EngineError: The registry does not take it.
            ServiceUnavailableError: The engine does not answer.
        """
        login = {"username": account[0], "password": account[1]} if account else None
        with self._reporting(f"push {repository}:{tag}"):
            events = self._client.api.push(
                repository, tag, stream=True, decode=True, auth_config=login
            )
            facts = _follow(events, f"push {repository}:{tag}", log.debug)
        return str(facts["Digest"])

    def remove_image(self, name: str) -> None:
        """Take a name off an image, and the image where it was its last; none is well, too.

        Raises:
            EngineError: A container uses it.
            ServiceUnavailableError: The engine does not answer.
        """
        with self._reporting(f"remove image {name}"):
            try:
                self._client.api.remove_image(name)
            except ImageNotFound:
                return

    # Containers

    def start_container(self, spec: ContainerSpec) -> Container:
        """Start a container.

        Raises:
            ArtefactError: The engine has no such image.
            EngineError: The engine cannot start it: the name or the port is taken, say.
            ServiceUnavailableError: The engine does not answer.
        """
        with self._reporting(f"start container {spec.name}"):
            made = self._client.containers.create(
                spec.image, list(spec.arguments), **_options(spec)
            )
            try:
                made.start()
            except Exception:
                made.remove(force=True)  # the name must be free for the next try
                raise
            made.reload()
            return _container(made)

    def find_container(self, name: str) -> Container | None:
        """Return a container by name or id; None where there is none.

        Raises:
            ServiceUnavailableError: The engine does not answer.
        """
        with self._reporting(f"look for container {name}"):
            try:
                return _container(self._client.containers.get(name))
            except NotFound:
                return None

    def containers(self, label: str) -> list[Container]:
        """Return the containers, running or not, that carry a label, `name` or `name=value`.

        Raises:
            ServiceUnavailableError: The engine does not answer.
        """
        with self._reporting("list containers"):
            found = self._client.containers.list(
                all=True, filters={"label": label}, ignore_removed=True
            )
            return [_container(one) for one in found]

    def logs(self, name: str, lines: int = LAST_LINES) -> str:
        """Return the end of what a container wrote; empty where it is gone.

        Raises:
            ServiceUnavailableError: The engine does not answer.
        """
        with self._reporting(f"read the log of {name}"):
            try:
                content: bytes = self._client.containers.get(name).logs(tail=lines)
            except NotFound:
                return ""
            return content.decode(errors="replace").strip()

    def remove_container(self, name: str, grace_seconds: int = 25) -> None:
        """End a container, let it answer what it has in hand for so long, and delete it.

        Raises:
            EngineError: The engine cannot delete it.
            ServiceUnavailableError: The engine does not answer.
        """
        with self._reporting(f"remove container {name}"):
            try:
                found = self._client.containers.get(name)
                found.stop(timeout=grace_seconds)
                found.remove(force=True)
            except NotFound:
                return

    # Inside

    @cached_property
    def _client(self) -> docker.DockerClient:
        place = {"base_url": self._url} if self._url is not None else kwargs_from_env()
        # The SDK would ask for the version in its constructor, and leave the connection open if that fails.
        with closing(docker.APIClient(version=DEFAULT_DOCKER_API_VERSION, **place)) as api:
            version = str(api.version(api_version=False)["ApiVersion"])
        return docker.DockerClient(version=version, timeout=self._timeout, **place)

    def _must_have(self, name: str) -> EngineImage:
        found = self.find_image(name)
        if found is None:
            raise EngineError(f"The Docker engine has no {name} after it said that it made it.")
        return found

    @contextmanager
    def _reporting(self, verb: str) -> Iterator[None]:
        try:
            yield
        except LastmileError:
            raise
        except (DockerException, requests.RequestException) as error:
            raise _translate(error, verb) from error


def _translate(error: Exception, verb: str) -> LastmileError:
    if isinstance(error, ImageNotFound):
        return ArtefactError(
            f"The Docker engine could not {verb}: it has no such image.",
            "Make or load it first: make images",
        )
    if isinstance(error, APIError) and error.is_client_error():
        return EngineError(
            f"The Docker engine could not {verb}: {error.explanation or error}",
            "See `docker ps -a` and `docker images` for what is there.",
        )
    return ServiceUnavailableError(f"The Docker engine could not {verb}: {_cause(error)}.", _HINT)


def _cause(error: BaseException) -> str:
    """Return what the operating system said, where it did; the SDK wraps it several times."""
    one: BaseException | None = error
    while one is not None:
        if isinstance(one, OSError) and one.strerror:
            return one.strerror
        one = one.__cause__ or one.__context__
    lines = str(error).splitlines() or [type(error).__name__]
    return lines[0].rstrip(".")


def _follow(
    events: Iterable[Mapping[str, Any]], verb: str, on_step: Callable[[str], None]
) -> dict[str, Any]:
    """Read what the engine tells of a long work; return the facts that it ends with.

    Raises:
        EngineError: It tells of an error.
    """
    facts: dict[str, Any] = {}
    lines: list[str] = []
    failure = ""
    for event in events:  # to the end, also after an error: the connection is free again only then
        failure = failure or str(event.get("error", ""))
        for line in str(event.get("stream", "")).splitlines():
            lines.append(line.strip())
            if line.startswith("Step "):
                on_step(line.strip())
        facts.update(event.get("aux") or {})
    if failure:
        said = " | ".join(line for line in lines[-LAST_LINES:] if line)
        raise EngineError(
            f"The Docker engine could not {verb}: {failure}",
            f"Before that it said: {said}" if said else "",
        )
    return facts


def _options(spec: ContainerSpec) -> dict[str, Any]:
    return {
        "name": spec.name,
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "ports": {f"{spec.port}/tcp": (spec.host, spec.host_port)},
        "labels": dict(spec.labels),
        "environment": dict(spec.environment),
        "mem_limit": spec.memory_bytes,
        "restart_policy": {"Name": "unless-stopped"} if spec.restarts else None,
    }


def _container(found: Any) -> Container:
    state = found.attrs["State"]
    published = [
        int(one["HostPort"])
        for bound in (found.attrs["NetworkSettings"]["Ports"] or {}).values()
        for one in bound or []
    ]
    return Container(
        id=str(found.id),
        name=str(found.name),
        image=str(found.attrs["Image"]),
        is_running=bool(state["Running"]),
        host_port=published[0] if published else None,
        labels=dict(found.labels),
        exit_code=None if state["Running"] else int(state["ExitCode"]),
    )
