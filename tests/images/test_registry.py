"""The client of container registries against the real one: open, with a password, and with tokens."""

import io
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from lastmile.clients.registry import Blob, Registry
from lastmile.clients.registry_address import RegistryAccount, RegistryAddress
from lastmile.errors import ArtefactError, PermanentError, ServiceUnavailableError, SettingsError
from lastmile.oci.artefact import SBOM, Artefact
from lastmile.oci.documents import MANIFEST_TYPE
from lastmile.oci.remote import attach, attached, blob_of_bytes, open_image, publish
from model_images import make_base
from registry import (
    ACCOUNT,
    IMPATIENT,
    Login,
    RunningRegistry,
    digest_of,
    running_registry,
    why_no_registry,
)

MODE: tuple[Login, ...] = ("none", "basic", "bearer")


@pytest.fixture(scope="module", params=MODE)
def running(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[RunningRegistry, RegistryAccount | None]]:
    if missing := why_no_registry():
        pytest.skip(missing)
    account = None if request.param == "none" else ACCOUNT
    with running_registry(tmp_path_factory.mktemp("registry"), request.param) as found:
        yield found, account


@pytest.fixture
def registry(running: tuple[RunningRegistry, RegistryAccount | None]) -> Iterator[Registry]:
    with running[0].open(running[1]) as opened:
        yield opened


def large_blob(mebibytes: float) -> Blob:
    content = random.Random(mebibytes).randbytes(int(mebibytes * (1 << 20)))
    return Blob(digest_of(content), len(content), lambda: io.BytesIO(content))


def test_a_blob_goes_up_once_and_comes_down_the_same(registry: Registry, tmp_path: Path) -> None:
    for blob in (large_blob(0.1), large_blob(3.5)):  # whole, and in chunks
        assert not registry.has_blob("blobs/a", blob.digest)
        assert registry.put_blob("blobs/a", blob)
        assert registry.has_blob("blobs/a", blob.digest)
        assert not registry.put_blob("blobs/a", blob)
        with (tmp_path / "copy").open("w+b") as copy:
            assert registry.download_blob("blobs/a", blob.digest, copy) == blob.size
        assert digest_of((tmp_path / "copy").read_bytes()) == blob.digest
        assert digest_of(registry.get_blob("blobs/a", blob.digest, 4 << 20)) == blob.digest


def test_one_repository_lends_another_a_blob(registry: Registry) -> None:
    blob = large_blob(0.2)
    registry.put_blob("lend/from", blob)
    assert not registry.put_blob("lend/to", blob, "lend/from")
    assert registry.has_blob("lend/to", blob.digest)
    assert registry.mount_blob("lend/third", blob.digest, "lend/from")
    assert not registry.mount_blob("lend/third", digest_of(b"nowhere"), "lend/from")


def test_an_image_is_found_by_digest_and_by_tag(registry: Registry, tmp_path: Path) -> None:
    _, image = make_base(tmp_path)
    published = publish(image, registry, "images/base", "1")
    assert published.reference == f"{registry.address.host}/images/base@{image.digest}"
    assert len(published.sent) == len(image.layers) + 1
    for reference in (image.digest, "1"):
        found = open_image(registry, "images/base", reference)
        assert found is not None
        assert (found.manifest, found.config) == (image.manifest, image.config)
    assert open_image(registry, "images/base", "2") is None
    again = publish(image, registry, "images/base", "1")
    assert (again.digest, again.sent, again.sent_bytes) == (image.digest, (), 0)


def test_documents_beside_an_image_are_found_by_its_digest(
    registry: Registry, tmp_path: Path
) -> None:
    _, image = make_base(tmp_path)
    publish(image, registry, "images/beside")
    assert attached(registry, "images/beside", image.digest, SBOM) == ()
    artefacts = [Artefact.about(image.descriptor, SBOM, text) for text in (b"one", b"two")]
    for artefact in (*artefacts, artefacts[0]):
        attach(artefact, registry, "images/beside")
    found = attached(registry, "images/beside", image.digest, SBOM)
    assert [one.content for one in found] == [b"one", b"two"]
    assert [one.digest for one in found] == [one.digest for one in artefacts]


def test_what_is_not_there_is_said_to_be_missing(registry: Registry) -> None:
    nothing = digest_of(b"nothing")
    assert registry.find_manifest("no/such", nothing) is None
    with pytest.raises(ArtefactError, match="has no"):
        registry.get_manifest("no/such", "latest")
    with pytest.raises(ArtefactError, match="has no"):
        registry.get_blob("no/such", nothing, 10)


def test_a_blob_larger_than_expected_is_not_read_to_its_end(registry: Registry) -> None:
    blob = large_blob(3)
    registry.put_blob("blobs/big", blob)
    with pytest.raises(ArtefactError, match="more than 1000 bytes"):
        registry.get_blob("blobs/big", blob.digest, 1000)


def test_what_was_altered_here_is_not_sent(registry: Registry) -> None:
    blob = Blob(digest_of(b"sound"), 7, lambda: io.BytesIO(b"altered"))
    with pytest.raises(ArtefactError, match="is altered on this machine"):
        registry.put_blob("blobs/altered", blob)
    assert not registry.has_blob("blobs/altered", blob.digest)


def test_a_manifest_of_something_that_is_not_there_is_refused(
    registry: Registry, tmp_path: Path
) -> None:
    _, image = make_base(tmp_path)
    registry.put_blob("images/half", blob_of_bytes(image.config))
    with pytest.raises(ServiceUnavailableError, match="MANIFEST_BLOB_UNKNOWN"):
        registry.put_manifest("images/half", "1", image.manifest, MANIFEST_TYPE)
    with pytest.raises(PermanentError, match="does not take it"):
        registry.put_manifest("images/half", "1", b"no manifest", MANIFEST_TYPE)


def test_strangers_are_refused(
    running: tuple[RunningRegistry, RegistryAccount | None],
) -> None:
    found, account = running
    if account is None:
        return
    wrong = RegistryAccount(user=account.user, password=SecretStr("guess"))
    for stranger in (None, wrong):
        with found.open(stranger) as registry:
            with pytest.raises(SettingsError, match="refuses us: 401"):
                registry.check()
            with pytest.raises(SettingsError, match="refuses us: 401") as caught:
                registry.put_blob("images/strange", blob_of_bytes(b"x"))
            assert "guess" not in f"{caught.value} {caught.value.hint}"


def test_a_registry_that_is_not_there_is_a_passing_fault() -> None:
    nobody = RegistryAddress.parse("127.0.0.1:9")
    with (
        Registry(nobody, None, IMPATIENT) as registry,
        pytest.raises(ServiceUnavailableError, match=r"127\.0\.0\.1:9 could not answer"),
    ):
        registry.check()
