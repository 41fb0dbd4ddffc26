"""What an image is made of, in CycloneDX's own form."""

import json
import warnings
from pathlib import Path

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from lastmile.oci.sbom import read_subject, write_sbom
from model_images import make_base


def test_packages_are_those_that_the_topmost_layers_left(tmp_path: Path) -> None:
    _, image = make_base(tmp_path)
    document = json.loads(write_sbom(image))
    assert [one["purl"] for one in document["components"]] == [
        "pkg:deb/debian/libc6@2.41-12?arch=amd64&distro=debian-13",
        "pkg:pypi/flask@3.1.3",
    ]
    assert document["components"][1]["licenses"] == [{"license": {"name": "BSD-3-Clause"}}]


def test_it_is_valid_says_whose_it_is_and_comes_out_the_same_twice(tmp_path: Path) -> None:
    _, image = make_base(tmp_path)
    document = write_sbom(image)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the validator's own libraries
        assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(document.decode()) is None
    assert read_subject(document) == image.digest
    assert write_sbom(image) == document
    assert read_subject(b"[]") is None
