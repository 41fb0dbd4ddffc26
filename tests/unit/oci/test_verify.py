"""An image that no registry has: made anew where it is needed, and compared with what packaging noted."""

from dataclasses import replace
from pathlib import Path

import pytest

from lastmile.artefacts.image import ModelImage
from lastmile.artefacts.passport import Passport
from lastmile.errors import ArtefactError
from lastmile.oci.base import ServerBase
from lastmile.oci.layout import Layout
from lastmile.oci.saved import import_saved
from lastmile.oci.verify import remake_image
from lastmile.package.image import publish_model
from model_images import make_base, make_model, make_passport, write_saved

Noted = tuple[ModelImage, Passport, ServerBase, Path]


@pytest.fixture
def noted(tmp_path: Path) -> Noted:
    layout, image = make_base(tmp_path / "base")
    base = ServerBase(image, layout.attached(image.digest)[0].content)
    bundle = make_model(tmp_path / "packaged").folder
    passport = make_passport(bundle)
    note = publish_model(passport, "f" * 64, bundle, base, None, tmp_path)
    return note, passport, base, bundle


def test_it_is_the_same_image_elsewhere(noted: Noted, tmp_path: Path) -> None:
    note, passport, base, _ = noted
    assert note.registry is None
    assert note.reference == f"models/toy@{note.digest}"
    elsewhere = make_model(tmp_path / "elsewhere").folder
    made = remake_image(note, passport, "f" * 64, elsewhere, base, tmp_path)
    assert (made.digest, made.config_digest) == (note.digest, note.config)
    assert made.is_whole


def test_another_model_base_or_passport_is_refused(noted: Noted, tmp_path: Path) -> None:
    note, passport, base, bundle = noted
    other = import_saved(write_saved(tmp_path / "o.tar", Cmd=["x"]), Layout(tmp_path / "images"))
    with pytest.raises(ArtefactError, match="its base is"):
        remake_image(note, passport, "f" * 64, bundle, replace(base, image=other), tmp_path)
    version = passport.model_copy(update={"version": 9})
    with pytest.raises(ArtefactError, match="its layer is"):
        remake_image(note, version, "f" * 64, bundle, base, tmp_path)
    for stated, digest in ((passport, "0" * 64), (make_passport(bundle, run_id="x"), "f" * 64)):
        with pytest.raises(ArtefactError, match="its provenance is"):
            remake_image(note, stated, digest, bundle, base, tmp_path)
    (bundle / "model.onnx").write_bytes(b"altered")
    with pytest.raises(ArtefactError, match="is not the file that its digest"):
        remake_image(note, passport, "f" * 64, bundle, base, tmp_path)
