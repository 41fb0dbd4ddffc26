"""Images in hand: a base taken from an engine's archive, and a model put on it."""

import hashlib
import json
from pathlib import Path

import pytest

from lastmile.errors import ArtefactError
from lastmile.oci.artefact import PROVENANCE, SBOM, Artefact
from lastmile.oci.image import build_model_image
from lastmile.oci.layout import Layout
from lastmile.oci.saved import import_saved
from model_images import make_base, make_model, write_saved


def test_a_saved_image_keeps_its_id_and_is_packed_the_same_twice(tmp_path: Path) -> None:
    layout, image = make_base(tmp_path / "one")
    _, again = make_base(tmp_path / "two")
    assert again.digest == image.digest
    assert image.config_digest == f"sha256:{hashlib.sha256(image.config).hexdigest()}"
    found = layout.find("server")
    assert found is not None
    assert found.is_whole
    assert (found.digest, found.config) == (image.digest, image.config)
    assert layout.find(image.digest) == found
    assert layout.find("trainer") is None


def test_a_layer_that_is_not_what_the_config_says_is_refused(tmp_path: Path) -> None:
    path = write_saved(tmp_path / "saved.tar")
    path.write_bytes(path.read_bytes().replace(b"libc6", b"libc7"))
    with pytest.raises(ArtefactError, match="A layer of the saved image is sha256:"):
        import_saved(path, Layout(tmp_path / "images"))
    assert not any((tmp_path / "images").rglob("*.part*"))
    assert not any(path for path in (tmp_path / "images" / "blobs").rglob("*") if path.is_file())


@pytest.mark.parametrize("content", [b"", b"no tar", b"\0" * 10240])
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "saved.tar").write_bytes(content)
    with pytest.raises(ArtefactError, match="that Lastmile can read"):
        import_saved(tmp_path / "saved.tar", Layout(tmp_path / "images"))


def test_an_altered_document_is_not_used(tmp_path: Path) -> None:
    layout, image = make_base(tmp_path)
    path = layout.path(image.config_digest)
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(ArtefactError, match="missing or altered"):
        layout.find("server")


def test_a_name_points_to_one_image_and_what_is_beside_it_stays(tmp_path: Path) -> None:
    layout, first = make_base(tmp_path / "one")
    saved = write_saved(tmp_path / "other.tar", ({"a": "b"},))
    second = import_saved(saved, layout)
    layout.name(second, "server", "server:2")
    assert layout.find("server") == second
    assert layout.find("server:2") == second
    assert [one.kind for one in layout.attached(first.digest)] == [SBOM]
    assert layout.attached(second.digest) == ()
    for text in (b"one", b"two"):  # the newer one takes the older one's place
        layout.attach(Artefact.about(second.descriptor, PROVENANCE, text))
    assert [one.content for one in layout.attached(second.digest)] == [b"two"]


def test_a_model_image_is_the_base_and_one_layer(tmp_path: Path) -> None:
    _, base = make_base(tmp_path)
    model = make_model(tmp_path)
    image = build_model_image(base, model, tmp_path)
    assert image.layers[:-1] == base.layers
    assert len(image.layers) == len(base.layers) + 1
    config, below = image.read_config(), base.read_config()
    assert config["rootfs"]["diff_ids"][:-1] == below["rootfs"]["diff_ids"]
    assert config["config"]["Cmd"] == below["config"]["Cmd"]
    assert "container" not in config
    assert image.labels == {
        "dev.lastmile.lock": "1" * 64,
        "dev.lastmile.pipeline": "toy",
        "dev.lastmile.bundle": model.bundle,
        "org.opencontainers.image.title": "toy",
        "org.opencontainers.image.version": "3",
        "org.opencontainers.image.base.digest": base.digest,
    }
    assert json.loads(image.manifest)["annotations"] == {
        "org.opencontainers.image.base.digest": base.digest,
        "org.opencontainers.image.title": "toy",
        "org.opencontainers.image.version": "3",
    }


def test_the_same_model_has_the_same_digest_anywhere(tmp_path: Path) -> None:
    images = []
    for place in ("here", "there/and/everywhere"):
        _, base = make_base(tmp_path / place)
        images.append(build_model_image(base, make_model(tmp_path / place), tmp_path / place))
    assert images[0].manifest == images[1].manifest
    assert images[0].config == images[1].config


def test_another_model_version_or_base_has_another_digest(tmp_path: Path) -> None:
    _, base = make_base(tmp_path)
    other = import_saved(write_saved(tmp_path / "o.tar", Cmd=["x"]), Layout(tmp_path / "images"))
    digests = {
        build_model_image(on, make_model(tmp_path / name, bias=bias, version=version), tmp_path).digest
        for name, on, bias, version in (
            ("a", base, 1.0, 3), ("b", base, 2.0, 3), ("c", base, 1.0, 4), ("d", other, 1.0, 3),
        )
    }  # fmt: skip
    assert len(digests) == 4
