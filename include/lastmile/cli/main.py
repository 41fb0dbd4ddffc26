"""Runs a command: logs to stderr, results to stdout, every error to an exit code."""

import contextlib
import json
import logging
import os
import signal
import sys
import threading
import time
from typing import NoReturn

from lastmile.errors import ExitCode, LastmileError, TransientError
from lastmile.runtime import END_WITH_STDIN, STOP_SECONDS


def main() -> NoReturn:
    """The `lastmile` command."""
    _log_to_stderr()
    signal.signal(signal.SIGTERM, _on_sigterm)
    if os.environ.pop(END_WITH_STDIN, None):
        threading.Thread(target=_end_with_stdin, name="end with stdin", daemon=True).start()
    from lastmile.cli.app import app

    try:
        code = app(standalone_mode=False) or ExitCode.DONE
    except LastmileError as error:
        code = _report(error)
    except KeyboardInterrupt:
        code = _report(TransientError("Stopped by hand.", "Run again: it goes on where it was."))
    except Exception as error:
        code = _report_other(error)
    sys.exit(int(code))


def _end_with_stdin() -> None:
    """Stop when the other end of stdin is gone, as it is when our parent was killed."""
    with contextlib.suppress(OSError):
        while os.read(0, 1024):
            pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(STOP_SECONDS)
    os.killpg(os.getpgrp(), signal.SIGKILL)  # the runtime made us the leader of a session


def _on_sigterm(_signal: int, _frame: object) -> None:
    raise TransientError("Stopped by SIGTERM.", "Run again: it goes on where it was.")


def _log_to_stderr() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_LineFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("lastmile").setLevel(logging.INFO)


class _LineFormatter(logging.Formatter):
    """The message alone; its level before it where it matters."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return text if record.levelno <= logging.INFO else f"{record.levelname}: {text}"


def _report(error: LastmileError) -> ExitCode:
    """Say what happened and what to do: to stderr, and as the JSON answer where one is wanted."""
    print(f"error: {error.headline}", file=sys.stderr)  # noqa: T201 - the command's own output
    if error.hint:
        print(f"hint:  {error.hint}", file=sys.stderr)  # noqa: T201
    _answer(type(error).__name__, error.headline, error.hint)
    return error.exit_code


def _answer(kind: str, headline: str, hint: str) -> None:
    """Print the error as the one JSON document on stdout, where one is wanted."""
    if "--json" in sys.argv:
        answer = {"type": kind, "headline": headline, "hint": hint}
        print(json.dumps({"error": answer}))  # noqa: T201 - the command's own output


def _report_other(error: Exception) -> ExitCode:
    """Report what the command line's own library raises, and what nobody foresaw."""
    import typer

    if isinstance(error, typer.Exit):
        return ExitCode(error.exit_code)
    # A usage error of the option parser, which knows how to show itself.
    if hasattr(error, "show") and hasattr(error, "format_message"):
        error.show()
        command = getattr(getattr(error, "ctx", None), "command_path", "lastmile")
        _answer("UsageError", error.format_message(), f"See `{command} --help`.")
        return ExitCode.WRONG_INPUT
    logging.getLogger(__name__).error("A bug in Lastmile: %s", error, exc_info=error)
    _answer("LastmileError", f"{type(error).__name__}: {error}", "Please report this bug.")
    return ExitCode.BUG
