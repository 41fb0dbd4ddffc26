"""The statement of how a model image came to be."""

import json
from pathlib import Path
from typing import Any

import pytest

from lastmile.artefacts.image import ModelImage
from lastmile.errors import ArtefactError
from lastmile.oci.image import build_model_image
from lastmile.oci.provenance import verify_statement, write_provenance
from model_images import BUNDLE, make_base, make_model, make_passport


@pytest.fixture
def stated(tmp_path: Path) -> tuple[bytes, ModelImage]:
    _, base = make_base(tmp_path)
    image = build_model_image(base, make_model(tmp_path), tmp_path)
    passport = make_passport(tmp_path / "bundle")
    noted = ModelImage(
        registry="r", repository="models/toy", digest=image.digest, config=image.config_digest,
        layer=image.layers[-1].digest, base=base.digest, provenance="sha256:" + "0" * 64, sbom=None,
    )  # fmt: skip
    return write_provenance(image, base, passport, "f" * 64), noted


def test_it_names_every_input_by_digest(stated: tuple[bytes, ModelImage]) -> None:
    content, image = stated
    assert verify_statement(content, image, BUNDLE) == {
        "bundle": BUNDLE,
        "base": image.base.removeprefix("sha256:"),
        "code": "c" * 64,
        "dataset": "d" * 64,
        "verdict": "e" * 64,
        "passport": "f" * 64,
        "lock": "1" * 64,
        "commit": "a" * 40,
    }
    statement = json.loads(content)
    assert statement["predicate"]["runDetails"]["metadata"]["invocationId"] == "night-1"
    commit = statement["predicate"]["buildDefinition"]["resolvedDependencies"][-1]
    assert commit["annotations"] == {"changed": True}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"digest": "sha256:" + "1" * 64}, "about image"),
        ({"base": "sha256:" + "1" * 64}, "about base"),
    ],
)
def test_one_about_something_else_is_refused(
    stated: tuple[bytes, ModelImage], change: dict[str, Any], complaint: str
) -> None:
    content, image = stated
    with pytest.raises(ArtefactError, match=complaint):
        verify_statement(content, image.model_copy(update=change), BUNDLE)
    with pytest.raises(ArtefactError, match="about bundle"):
        verify_statement(content, image, "0" * 64)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"subject": []}', b'"x"'])
def test_what_is_no_statement_is_refused(stated: tuple[bytes, ModelImage], content: bytes) -> None:
    with pytest.raises(ArtefactError, match="no provenance statement"):
        verify_statement(content, stated[1], BUNDLE)


def test_another_kind_of_statement_is_refused(stated: tuple[bytes, ModelImage]) -> None:
    content, image = stated
    other = content.replace(b"slsa.dev/provenance/v1", b"slsa.dev/provenance/v9")
    with pytest.raises(ArtefactError, match="of another kind"):
        verify_statement(other, image, BUNDLE)
