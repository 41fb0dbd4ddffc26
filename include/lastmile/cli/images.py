"""`make images`: builds our own images, each only when one of its inputs has changed."""

import argparse
import json
import logging
import sys
from contextlib import nullcontext

from lastmile.clients.docker import Engine
from lastmile.errors import ExitCode, LastmileError
from lastmile.oci.remote import open_registry
from lastmile.package.build import Builder, Built
from lastmile.package.recipes import RECIPES
from lastmile.settings import load_settings


def main(arguments: list[str] | None = None) -> int:
    """Build what was asked for; return the exit code."""
    given = _parse(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        built = build(given.images or [recipe.name for recipe in RECIPES])
    except LastmileError as error:
        print(f"error: {error.headline}\nhint:  {error.hint}", file=sys.stderr)  # noqa: T201
        return error.exit_code
    if given.json:
        print(json.dumps([one.model_dump(mode="json") for one in built], indent=1))  # noqa: T201
    return ExitCode.DONE


def build(names: list[str]) -> list[Built]:
    """Build images by name, and tell of each.

    Raises:
        LastmileError: As the builder says.
    """
    settings = load_settings()
    registry = open_registry(settings)
    with Engine() as engine, registry or nullcontext():
        _tell(f"Docker engine {engine.check()}, {engine.platform}.")
        if registry is not None:
            registry.check()
        builder = Builder(settings, engine, registry, _tell)
        built = []
        for recipe in RECIPES:
            if recipe.name in names:
                built.append(builder.build(recipe))
                _tell(describe(built[-1]))
    return built


def describe(built: Built) -> str:
    """Return the line that says what became of an image."""
    did = "is there already" if built.was_there else "built"
    size = f", {built.compressed_bytes / 1e6:.0f} MB compressed" if built.compressed_bytes else ""
    where = built.reference or built.digest or "only in the engine: LASTMILE_REGISTRY is not set"
    sent = f", {built.sent_bytes / 1e6:.1f} MB sent" if built.sent_bytes else ""
    return f"{built.name}: {built.image} {did} in {built.seconds:.1f} s{size}{sent}\n  {where}"


def _tell(line: str) -> None:
    print(line, file=sys.stderr)  # noqa: T201 - progress


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    names = [recipe.name for recipe in RECIPES]
    parser = argparse.ArgumentParser(
        prog="make images", description="Build our own images where an input has changed."
    )
    parser.add_argument("images", nargs="*", metavar="IMAGE", help=f"{', '.join(names)}; all")
    parser.add_argument("--json", action="store_true", help="print what became of each as JSON")
    given = parser.parse_args(arguments)
    if unknown := set(given.images) - set(names):
        parser.error(
            f"there is no image {', '.join(sorted(unknown))}; there are {', '.join(names)}"
        )
    return given


if __name__ == "__main__":
    sys.exit(main())
