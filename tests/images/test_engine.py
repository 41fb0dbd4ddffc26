"""Our images on the real engine: built, loaded without a registry, run with nothing to write to."""

import gc
import json
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest

from engine import BASE, RunningEngine, engine_settings, running_engine
from lastmile.cli import images
from lastmile.clients.docker import Container, ContainerSpec, Engine, EngineError
from lastmile.errors import ArtefactError, ServiceUnavailableError
from lastmile.oci.artefact import SBOM
from lastmile.oci.base import open_base
from lastmile.oci.image import build_model_image
from lastmile.oci.layout import Layout
from lastmile.oci.loaded import find, load
from lastmile.oci.remote import attached, open_image, publish
from lastmile.oci.verify import verify_image
from lastmile.package.build import Builder
from lastmile.package.image import publish_model
from lastmile.package.recipes import SERVER, BuildContext
from lastmile.settings import Settings
from model_images import BUNDLE, make_base, make_model, make_passport
from registry import RunningRegistry

# The first test waits for the base image, which is bootstrapped once on a new machine.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

SMALL_SERVER = 120_000_000
"""Bytes, compressed."""


@contextmanager
def running_model(engine: Engine, image: str, name: str) -> Iterator[Container]:
    spec = ContainerSpec(image=image, name=name, port=8080, labels={"lastmile.test": name})
    container = engine.start_container(spec)
    try:
        yield container
    finally:
        engine.remove_container(container.id, grace_seconds=5)


def ask(container: Container, path: str, body: object = None) -> dict[str, object]:
    """Ask the served model; wait for it to be ready."""
    url = f"http://127.0.0.1:{container.host_port}{path}"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    deadline = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return dict(json.load(answer))
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def test_the_server_base_is_small_locked_and_known_by_its_parts(server_settings: Settings) -> None:
    base = open_base(server_settings, None)
    assert base.image.compressed_bytes <= SMALL_SERVER
    assert base.sbom is not None
    named = {one["purl"].split("@")[0] for one in json.loads(base.sbom)["components"]}
    assert {
        "pkg:pypi/flask",
        "pkg:pypi/onnxruntime",
        "pkg:pypi/lastmile",
        "pkg:deb/debian/libc6",
    } <= named
    assert not {"pkg:pypi/tensorflow", "pkg:pypi/pandas", "pkg:pypi/pip"} & named
    config = base.image.read_config()["config"]
    assert config["User"] == "10001:10001"
    assert not [
        one for one in config["Env"] if "PASSWORD" in one or "TOKEN" in one or "PIP_" in one
    ]
    assert {
        "dev.lastmile.lock",
        "dev.lastmile.source",
        "dev.lastmile.key",
    } <= base.image.labels.keys()


def test_what_has_not_changed_is_not_built_again(server_settings: Settings, engine: Engine) -> None:
    said: list[str] = []
    built = Builder(server_settings, engine, None, said.append).build(SERVER)
    assert built.was_there
    assert built.digest == open_base(server_settings, None).image.digest
    assert said == []


def test_the_command_says_what_it_did_and_where_it_went(
    server_settings: Settings,
    docker_engine: RunningEngine,
    container_registry: RunningRegistry,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("root", "home", "base_image", "build_image", "build_network"):
        monkeypatch.setenv(f"LASTMILE_{name.upper()}", str(getattr(server_settings, name)))
    monkeypatch.setenv("LASTMILE_REGISTRY", f"{container_registry.host}/command")
    monkeypatch.setenv("DOCKER_HOST", docker_engine.url)
    assert images.main(["server", "--json"]) == 0
    told = capsys.readouterr()
    (built,) = json.loads(told.out)
    reference = f"{container_registry.host}/command/server@{built['digest']}"
    assert built["reference"] == reference
    assert built["was_there"]
    assert f"server: {built['image']} is there already" in told.err
    assert reference in told.err
    monkeypatch.setenv("LASTMILE_REGISTRY", "127.0.0.1:9")
    assert images.main(["server"]) == 75
    assert "error: The registry 127.0.0.1:9 could not answer" in capsys.readouterr().err


def test_a_model_runs_from_an_engine_that_never_saw_a_registry(
    server_settings: Settings, engine: Engine, tmp_path: Path
) -> None:
    base = open_base(server_settings, None).image
    image = build_model_image(base, make_model(tmp_path, bias=2.5), tmp_path)
    assert find(image, engine) is None
    loaded = load(image, engine, "lastmile/toy:3", base)
    assert loaded.id == image.config_digest
    assert loaded.labels["dev.lastmile.bundle"] == BUNDLE
    assert load(image, engine, "lastmile/toy:3", base) == loaded
    with running_model(engine, loaded.id, "lm-test-load") as container:
        assert container.is_running
        assert ask(container, "/readyz")["version"] == 3
        answer = ask(container, "/predict", {"instances": [{"x": 1.0}]})
        assert answer["predictions"] == [{"value": 3.5}]
        assert ask(container, "/v2")["name"] == "lastmile"
        assert [one.id for one in engine.containers("lastmile.test=lm-test-load")] == [container.id]
        assert "answers now" in engine.logs(container.id)
    assert engine.find_container("lm-test-load") is None
    assert engine.logs("lm-test-load") == ""


def test_the_registry_and_the_engine_have_the_same_image(
    server_settings: Settings, engine: Engine, container_registry: RunningRegistry, tmp_path: Path
) -> None:
    settings = server_settings.model_copy(update={"registry": f"{container_registry.host}/models"})
    passport = make_passport(make_model(tmp_path, bias=0.25).folder)
    with container_registry.open() as registry:
        Builder(settings, engine, registry).build(SERVER)
        base = open_base(settings, registry)
        noted = publish_model(passport, "f" * 64, tmp_path / "bundle", base, registry, tmp_path)
        verified = verify_image(noted, BUNDLE, registry)
        assert open_image(registry, "models/server", base.image.digest) is not None
    pulled = engine.pull_image(noted.reference)
    assert pulled.id == noted.config == verified.config_digest
    built = build_model_image(base.image, make_model(tmp_path / "again", bias=0.25), tmp_path)
    assert built.digest == noted.digest
    assert load(built, engine, "lastmile/toy:again", base.image).id == pulled.id
    with running_model(engine, pulled.id, "lm-test-pull") as container:
        assert ask(container, "/predict", {"instances": [{"x": 1.0}]})["predictions"] == [
            {"value": 1.25}
        ]


def test_a_base_of_the_registry_alone_carries_a_model(
    server_settings: Settings, container_registry: RunningRegistry, tmp_path: Path
) -> None:
    """A pod that packages: it has the digest and the registry, and none of the base's layers."""
    base = open_base(server_settings, None).image
    with container_registry.open() as registry:
        publish(base, registry, "models/server")
        pod = Settings(root=tmp_path, home=Path("home"), server_image=base.digest)
        far = open_base(pod, registry)
        assert far.image.digest == base.digest
        assert not far.image.files
        passport = make_passport(make_model(tmp_path).folder)
        noted = publish_model(passport, "f" * 64, tmp_path / "bundle", far, registry, tmp_path)
        assert verify_image(noted, BUNDLE, registry).layers[:-1] == base.layers


def test_a_failed_build_says_which_step_and_what_it_wrote(
    engine: Engine, docker_engine: RunningEngine, tmp_path: Path
) -> None:
    dockerfile = f"FROM {BASE}\nRUN echo all is lost && exit 7\n".encode()
    context = BuildContext({"Dockerfile": dockerfile, "requirements.txt": b""})
    with pytest.raises(EngineError, match="returned a non-zero code: 7") as caught:
        engine.build_image(context.to_tar(), tag="lastmile/fails:1", arguments={}, labels={})
    assert "all is lost" in caught.value.hint
    assert engine.find_image("lastmile/fails:1") is None
    with pytest.raises(EngineError, match="could not load an image"):
        engine.load_image(BytesIO(b"no archive"))


def test_a_container_that_cannot_start_leaves_its_name_free(
    engine: Engine, server_settings: Settings
) -> None:
    base = open_base(server_settings, None).image
    spec = ContainerSpec(image=base.config_digest, name="lm-test-first", port=8080)
    first = engine.start_container(spec)  # without a model: it says so and ends
    try:
        again = ContainerSpec(image=base.config_digest, name="lm-test-first", port=8080)
        with pytest.raises(EngineError, match="already in use"):
            engine.start_container(again)
        with pytest.raises(ArtefactError, match="no such image"):
            engine.start_container(ContainerSpec(image="sha256:" + "0" * 64, name="lm-x", port=1))
        assert engine.find_container("lm-x") is None
        deadline = time.monotonic() + 20
        while (ended := engine.find_container(first.id)) and ended.is_running:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert ended is not None
        assert ended.exit_code == 2
        assert "The pointer /model/pointer.json cannot be read" in engine.logs(first.id)
    finally:
        engine.remove_container(first.id)


def test_a_model_whose_base_is_missing_loads_whole_or_not_at_all(
    engine: Engine, docker_engine: RunningEngine, tmp_path: Path
) -> None:
    _, base = make_base(tmp_path)
    image = build_model_image(base, make_model(tmp_path), tmp_path)
    layer = image.layers[-1].digest
    with pytest.raises(ArtefactError, match="is not on this machine"):
        load(replace(image, files={layer: image.files[layer]}), engine, "lastmile/none:1", base)
    assert load(image, engine, "lastmile/whole:1", base).id == image.config_digest


# The SDK leaves the socket open that it could not connect.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_engine_that_stops_is_a_passing_fault(tmp_path: Path) -> None:
    _, base = make_base(tmp_path)
    image = build_model_image(base, make_model(tmp_path), tmp_path)
    with running_engine() as running, Engine(running.url) as engine:
        assert load(image, engine, "lastmile/toy:1", base).id == image.config_digest
        running.stop()
        gone = r"could not look for image sha256:\w+: (No such file|Connection refused)"
        with pytest.raises(ServiceUnavailableError, match=gone) as caught:
            load(image, engine, "lastmile/toy:1", base)
        assert "docker info" in caught.value.hint
        with pytest.raises(ServiceUnavailableError):
            Builder(engine_settings(tmp_path), engine).build(SERVER)
    assert Layout(engine_settings(tmp_path).images_path).find("server") is None
    del caught  # its traceback holds that socket, whose warning belongs to this test
    gc.collect()


def test_the_sbom_stands_beside_the_base_in_the_registry(
    server_settings: Settings, engine: Engine, container_registry: RunningRegistry
) -> None:
    with container_registry.open(prefix="beside") as registry:
        built = Builder(server_settings, engine, registry).build(SERVER)
        assert built.digest is not None
        (found,) = attached(registry, "beside/server", built.digest, SBOM)
        assert found.content == open_base(server_settings, None).sbom
