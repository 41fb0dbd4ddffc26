"""A registry that fails at any moment, and images that are not what they should be."""

import io
import json
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from harm import Harm, HarmfulProxy, harmful_proxy
from lastmile.artefacts.image import ModelImage
from lastmile.clients.registry import Blob, Registry
from lastmile.clients.registry_address import RegistryAddress
from lastmile.errors import ArtefactError, ServiceUnavailableError
from lastmile.oci.artefact import PROVENANCE, SBOM, Artefact
from lastmile.oci.base import ServerBase
from lastmile.oci.documents import MANIFEST_TYPE
from lastmile.oci.image import Image, build_model_image
from lastmile.oci.layout import Layout
from lastmile.oci.remote import attach, blob_of_bytes, open_image, publish
from lastmile.oci.verify import verify_image
from lastmile.package.image import publish_model
from model_images import BUNDLE, make_base, make_model, make_passport
from registry import IMPATIENT, RunningRegistry, digest_of, running_registry, why_no_registry

pytestmark = pytest.mark.chaos

Behind = Callable[..., tuple[Registry, HarmfulProxy]]


@pytest.fixture
def running(tmp_path: Path) -> Iterator[RunningRegistry]:
    if missing := why_no_registry():
        pytest.skip(missing)
    with running_registry(tmp_path / "registry") as found:
        yield found


@pytest.fixture
def behind(running: RunningRegistry) -> Iterator[Behind]:
    """Open the registry through a proxy that does harm."""
    with ExitStack() as stack:

        def start(*harms: Harm) -> tuple[Registry, HarmfulProxy]:
            proxy = stack.enter_context(harmful_proxy(running.host, *harms))
            address = RegistryAddress.parse(f"{proxy.host}/models")
            return stack.enter_context(Registry(address, None, IMPATIENT)), proxy

        yield start


@pytest.fixture
def base(tmp_path: Path) -> Image:
    return make_base(tmp_path)[1]


@pytest.fixture
def image(base: Image, tmp_path: Path) -> Image:
    return build_model_image(base, make_model(tmp_path), tmp_path)


def large_blob() -> Blob:
    content = random.Random(1).randbytes(3_500_000)  # four chunks
    return Blob(digest_of(content), len(content), lambda: io.BytesIO(content))


PASSING = {
    "the start of an upload fails": Harm("POST", "/uploads/", "status", 503),
    "too many requests": Harm("POST", "/uploads/", "status", 429, headers={"Retry-After": "0"}),
    "a blob is refused": Harm("PUT", "/uploads/", "status", 500, times=2),
    "a blob is cut half way": Harm("PUT", "/uploads/", "cut request"),
    "looking for a blob fails": Harm("HEAD", "/blobs/", "status", 502),
    "the answer to a blob is lost": Harm("PUT", "/uploads/", "cut answer"),
    "the manifest is refused": Harm("PUT", "/manifests/", "status", 500),
    "the manifest is cut half way": Harm("PUT", "/manifests/", "cut request"),
}


@pytest.mark.parametrize("harm", PASSING.values(), ids=PASSING.keys())
def test_a_passing_fault_delays_and_does_no_harm(
    harm: Harm, behind: Behind, image: Image, running: RunningRegistry
) -> None:
    registry, _ = behind(Harm(**vars(harm)))
    published = publish(image, registry, "models/toy", "3")
    assert published.digest == image.digest
    with running.open() as direct:
        found = open_image(direct, "models/toy", "3")
        assert found is not None
        assert found.digest == image.digest
        for layer in image.layers:
            assert direct.has_blob("models/toy", layer.digest)


LASTING = {
    "blobs": Harm("PUT", "/uploads/", "status", 500, times=99),
    "blobs cut": Harm("PUT", "/uploads/", "cut request", times=99),
    "manifest": Harm("PUT", "/manifests/", "status", 503, times=99),
}


@pytest.mark.parametrize("harm", LASTING.values(), ids=LASTING.keys())
def test_a_lasting_fault_leaves_no_half_image_and_the_next_try_goes_on(
    harm: Harm, behind: Behind, image: Image, running: RunningRegistry
) -> None:
    registry, proxy = behind(Harm(**vars(harm)))
    with pytest.raises(ServiceUnavailableError, match="could not take"):
        publish(image, registry, "models/toy", "3")
    with running.open() as direct:
        assert open_image(direct, "models/toy", "3") is None
        assert open_image(direct, "models/toy", image.digest) is None
    if (
        harm.kind == "status"
    ):  # of one that was cut the registry does not know yet; it purges those itself
        assert running.half_uploads() == []
    proxy.harms.clear()
    again = publish(image, registry, "models/toy", "3")
    assert again.digest == image.digest
    with running.open() as direct:
        assert open_image(direct, "models/toy", "3") is not None


def test_a_cut_upload_goes_on_where_the_registry_stopped(behind: Behind) -> None:
    blob = large_blob()
    registry, proxy = behind(Harm("PATCH", "/uploads/", "status", 500))
    assert registry.put_blob("models/big", blob)
    # The first chunk was refused whole and is sent again; nothing else is.
    assert proxy.sent("PATCH") == blob.size + (1 << 20)
    assert registry.has_blob("models/big", blob.digest)


def test_a_chunk_cut_half_way_ends_in_the_right_bytes(
    behind: Behind, running: RunningRegistry
) -> None:
    blob = large_blob()
    registry, _ = behind(Harm("PATCH", "/uploads/", "cut request", times=2))
    assert registry.put_blob("models/big", blob)
    with running.open() as direct:
        assert digest_of(direct.get_blob("models/big", blob.digest, 8 << 20)) == blob.digest


def test_an_unchanged_layer_is_not_sent_again(behind: Behind, base: Image, tmp_path: Path) -> None:
    registry, proxy = behind()
    first = build_model_image(base, make_model(tmp_path / "a", bias=1.0), tmp_path)
    publish(first, registry, "models/toy")
    proxy.seen.clear()
    second = build_model_image(base, make_model(tmp_path / "b", bias=2.0, version=4), tmp_path)
    published = publish(second, registry, "models/toy")
    assert set(published.sent) == {second.layers[-1].digest, second.config_digest}
    assert proxy.sent("PUT") < second.layers[-1].size + 20_000
    proxy.seen.clear()
    publish(second, registry, "models/toy")
    assert not any(method in {"POST", "PATCH"} for method, _, _ in proxy.seen)


def test_the_base_is_lent_by_its_own_repository(behind: Behind, base: Image, image: Image) -> None:
    """A pod that packages has no layer of the base: only its repository in the registry has."""
    registry, proxy = behind()
    publish(base, registry, "models/server")
    far = open_image(registry, "models/server", base.digest)
    assert far is not None
    assert not far.files
    layer = image.layers[-1].digest
    remote = Image(image.manifest, image.config, {layer: image.files[layer]}, far.origin)
    proxy.seen.clear()
    published = publish(remote, registry, "models/toy")
    assert set(published.sent) == {layer, image.config_digest}
    assert proxy.sent("PUT") < image.layers[-1].size + 20_000


def test_a_base_that_is_not_lent_is_copied(
    behind: Behind, base: Image, image: Image, running: RunningRegistry
) -> None:
    registry, proxy = behind()
    publish(base, registry, "models/server")
    layer = image.layers[-1].digest
    # The proxy forgets to ask for the loan: the registry waits for the bytes instead.
    proxy.forget = "mount"
    remote = Image(image.manifest, image.config, {layer: image.files[layer]}, "models/server")
    assert {one.digest for one in base.layers} <= set(publish(remote, registry, "models/toy").sent)
    assert running.half_uploads() == []


@pytest.mark.parametrize("kind", ["alter answer", "cut answer"])
@pytest.mark.parametrize("path", ["/manifests/sha256", "/blobs/sha256"])
def test_wrong_bytes_on_the_way_down_are_never_used(
    kind: str, path: str, behind: Behind, image: Image
) -> None:
    registry, _ = behind()
    publish(image, registry, "models/toy")
    altered, _ = behind(Harm("GET", path, kind, times=99))  # type: ignore[arg-type]
    with pytest.raises((ArtefactError, ServiceUnavailableError)) as caught:
        open_image(altered, "models/toy", image.digest)
    assert isinstance(caught.value, ArtefactError) == (kind == "alter answer")


# What is asked of an image before it runs


@pytest.fixture
def packaged(running: RunningRegistry, tmp_path: Path) -> Iterator[tuple[Registry, ModelImage]]:
    layout, base = make_base(tmp_path / "base")
    sbom = layout.attached(base.digest)[0].content
    passport = make_passport(make_model(tmp_path).folder)
    with running.open() as registry:
        yield (
            registry,
            publish_model(
                passport, "f" * 64, tmp_path / "bundle", ServerBase(base, sbom), registry, tmp_path
            ),
        )


def test_a_packaged_model_is_verified_from_the_registry_alone(
    packaged: tuple[Registry, ModelImage],
) -> None:
    registry, noted = packaged
    found = verify_image(noted, BUNDLE, registry)
    assert found.digest == noted.digest
    assert noted.reference == f"{registry.address.host}/models/models/toy@{noted.digest}"


def test_packaging_the_same_again_moves_nothing_and_names_the_same(
    packaged: tuple[Registry, ModelImage], running: RunningRegistry, tmp_path: Path
) -> None:
    registry, noted = packaged
    layout, base = make_base(tmp_path / "elsewhere")
    sbom = layout.attached(base.digest)[0].content
    passport = make_passport(make_model(tmp_path / "elsewhere").folder)
    bundle = tmp_path / "elsewhere" / "bundle"
    again = publish_model(passport, "f" * 64, bundle, ServerBase(base, sbom), registry, tmp_path)
    assert again == noted


@pytest.mark.parametrize(
    ("field", "complaint"),
    [
        ("digest", "is not in its registry"),
        ("config", "its config is"),
        ("base", "its base is"),
        ("layer", "its topmost layer is"),
        ("provenance", "has no"),
        ("sbom", "has no"),
    ],
)
def test_an_image_that_is_not_what_packaging_noted_does_not_run(
    packaged: tuple[Registry, ModelImage], field: str, complaint: str
) -> None:
    registry, noted = packaged
    other = noted.model_copy(update={field: "sha256:" + "0" * 64})
    with pytest.raises(ArtefactError, match=complaint):
        verify_image(other, BUNDLE, registry)


def test_an_image_of_another_bundle_does_not_run(packaged: tuple[Registry, ModelImage]) -> None:
    registry, noted = packaged
    with pytest.raises(ArtefactError, match="its bundle is"):
        verify_image(noted, "0" * 64, registry)


def test_somebody_elses_image_with_our_labels_does_not_run(
    packaged: tuple[Registry, ModelImage], tmp_path: Path
) -> None:
    """Whoever may write to the repository can copy labels and annotations, not the provenance."""
    registry, noted = packaged
    ours = open_image(registry, noted.repository, noted.digest)
    assert ours is not None
    forged_config = json.loads(ours.config)
    forged_config["config"]["Entrypoint"] = ["sh", "-c", "something else"]
    config = json.dumps(forged_config).encode()
    manifest = json.loads(ours.manifest)
    manifest["config"].update(digest=digest_of(config), size=len(config))
    forged = Image(json.dumps(manifest).encode(), config)
    registry.put_blob(noted.repository, blob_of_bytes(config))
    registry.put_manifest(noted.repository, "3", forged.manifest, MANIFEST_TYPE)
    claimed = noted.model_copy(update={"digest": forged.digest, "config": forged.config_digest})
    with pytest.raises(ArtefactError, match="is not its provenance"):
        verify_image(claimed, BUNDLE, registry)


def test_a_provenance_about_another_image_is_not_accepted(
    packaged: tuple[Registry, ModelImage],
) -> None:
    registry, noted = packaged
    ours = open_image(registry, noted.repository, noted.digest)
    assert ours is not None
    wrong = Artefact.about(ours.descriptor, PROVENANCE, b'{"subject": []}')
    attach(wrong, registry, noted.repository)
    with pytest.raises(ArtefactError, match="is not accepted"):
        verify_image(noted.model_copy(update={"provenance": wrong.digest}), BUNDLE, registry)
    wrong = Artefact.about(ours.descriptor, SBOM, b"{}")
    attach(wrong, registry, noted.repository)
    with pytest.raises(ArtefactError, match="does not list what is in its base"):
        verify_image(noted.model_copy(update={"sbom": wrong.digest}), BUNDLE, registry)


def test_an_altered_base_layer_does_not_leave_this_machine(
    behind: Behind, base: Image, tmp_path: Path
) -> None:
    path = Layout(tmp_path / "images").path(base.layers[0].digest)
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    registry, _ = behind()
    with pytest.raises(ArtefactError, match="altered on this machine"):
        publish(base, registry, "models/server")
    assert open_image(registry, "models/server", base.digest) is None
