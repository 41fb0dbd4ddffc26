"""`python -m lastmile.serve`: the server's command line."""

import argparse
import logging
import sys
from dataclasses import replace
from pathlib import Path

from lastmile.errors import ExitCode, LastmileError
from lastmile.serve.limits import Limits


def main(arguments: list[str] | None = None) -> int:
    """Serve the model that a pointer names; return the exit code."""
    given = _parse(arguments)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    try:
        from lastmile.serve.live import read_pointer
        from lastmile.serve.server import ServerSettings, serve

        read_pointer(given.pointer)  # a mistyped path is told now, not by a server never ready
        limits = Limits.from_environment()
        serve(
            ServerSettings(
                pointer=given.pointer.absolute(),
                host=given.host,
                port=given.port,
                beside=given.beside,
                workers=given.workers,
                threads=given.threads,
                limits=replace(
                    limits,
                    max_rows=given.max_rows or limits.max_rows,
                    max_body_bytes=given.max_body_bytes or limits.max_body_bytes,
                ),
            )
        )
    except LastmileError as error:
        sys.stderr.write(f"{error.headline}\n{error.hint}\n")
        return error.exit_code
    return ExitCode.DONE


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m lastmile.serve",
        description="Serve the model that a pointer file names, and follow the pointer.",
    )
    parser.add_argument(
        "--pointer", type=Path, required=True, help="the file that deploying writes"
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on [%(default)s]")
    parser.add_argument("--port", type=_port, default=8600, help="0: a free one [%(default)s]")
    parser.add_argument(
        "--beside",
        action="store_true",
        help="take the port over from the server that listens there",
    )
    parser.add_argument("--workers", type=_count, default=1, help="processes [%(default)s]")
    parser.add_argument("--threads", type=_count, default=4, help="per process [%(default)s]")
    parser.add_argument("--max-rows", type=_count, help="records per request")
    parser.add_argument("--max-body-bytes", type=_count, help="size of a request")
    return parser.parse_args(arguments)


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) < 65536):
        raise argparse.ArgumentTypeError(f"{text!r} is no port from 0 to 65535")
    return int(text)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is no positive whole number")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
