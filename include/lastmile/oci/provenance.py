"""How a model image came to be, as an in-toto statement with SLSA's predicate; written and verified.

It says what went in, by digest. It is not signed: what makes it trustworthy is that the package artefact,
which the ledger names, holds its digest.
"""

import json
from typing import Any

from lastmile.artefacts.image import ModelImage
from lastmile.artefacts.passport import Passport
from lastmile.errors import ArtefactError
from lastmile.oci.image import LOCK, SOURCE, Image
from lastmile.store import canonical_json

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:lastmile:model-image:1"
BUILDER = "urn:lastmile:package"

DIRTY = "-dirty"


def write_provenance(image: Image, base: Image, passport: Passport, passport_digest: str) -> bytes:
    """Return the statement about an image."""
    labels = base.labels
    inputs = {
        "bundle": passport.bundle,
        "base": base.digest,
        "code": passport.code,
        "dataset": passport.dataset,
        "verdict": passport.verdict,
        "passport": passport_digest,
        "lock": labels.get(LOCK),
        "server-source": labels.get(SOURCE),
    }
    dependencies = [
        {"name": name, "digest": {"sha256": digest.removeprefix("sha256:")}}
        for name, digest in inputs.items()
        if digest
    ]
    if passport.commit:
        dependencies.append(_commit(passport.commit))
    return canonical_json(
        {
            "_type": STATEMENT,
            "subject": [
                {
                    "name": passport.pipeline,
                    "digest": {"sha256": image.digest.removeprefix("sha256:")},
                }
            ],
            "predicateType": PREDICATE,
            "predicate": {
                "buildDefinition": {
                    "buildType": BUILD_TYPE,
                    "externalParameters": {
                        "pipeline": passport.pipeline,
                        "version": passport.version,
                    },
                    "resolvedDependencies": dependencies,
                },
                "runDetails": {
                    "builder": {"id": BUILDER},
                    "metadata": {
                        "invocationId": passport.run_id,
                        "finishedOn": passport.created_at,
                    },
                },
            },
        }
    )


def verify_statement(content: bytes, image: ModelImage, bundle: str) -> dict[str, str]:
    """Compare a statement with the image, its base and the bundle; return its inputs' digests by name.

    Raises:
        ArtefactError: It is no such statement, or is about something else.
    """
    try:
        statement = json.loads(content)
        (subject,) = statement["subject"]
        predicate = statement["predicate"]
        inputs = {
            str(one["name"]): str(next(iter(one["digest"].values())))
            for one in predicate["buildDefinition"]["resolvedDependencies"]
        }
        kinds = (statement["_type"], statement["predicateType"])
        build_type = predicate["buildDefinition"]["buildType"]
        found = str(subject["digest"]["sha256"])
    except (ValueError, KeyError, TypeError, StopIteration, AttributeError) as error:
        raise _refused(image, f"it is no provenance statement ({error!r})") from error
    if kinds != (STATEMENT, PREDICATE) or build_type != BUILD_TYPE:
        raise _refused(image, f"it is of another kind: {kinds[0]}, {kinds[1]}, {build_type}")
    for what, expected, said in (
        ("image", image.digest, found),
        ("base", image.base, inputs.get("base")),
        ("bundle", bundle, inputs.get("bundle")),
    ):
        if said != expected.removeprefix("sha256:"):
            raise _refused(image, f"it is about {what} {said}, not {expected}")
    return inputs


def _commit(commit: str) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "name": "commit",
        "digest": {"gitCommit": commit.removesuffix(DIRTY)},
    }
    if commit.endswith(DIRTY):
        entry["annotations"] = {"changed": True}
    return entry


def _refused(image: ModelImage, why: str) -> ArtefactError:
    return ArtefactError(
        f"The provenance of image {image.digest} is not accepted: {why}.",
        "The image is not used. Package the run again with --force.",
    )
