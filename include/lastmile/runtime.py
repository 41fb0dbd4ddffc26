"""Where stages run. The local runtime starts each as a child process, `lastmile <stage> ...`.

TensorFlow, a crash or a memory limit of a stage then never touches the process that waits for it, and
every runtime starts the same command.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from lastmile import errors
from lastmile.errors import ExitCode, LastmileError, PermanentError, TransientError
from lastmile.run import RunOptions, StageName, StageRecord

Emit = Callable[[str], None]
"""Takes one line of a stage's progress."""

END_WITH_STDIN = "LASTMILE_END_WITH_STDIN"
"""Set for a stage that must not outlive whoever waits for it, however that one ends."""

STOP_SECONDS = 20.0
"""How long a stage that was asked to end may take: a checkpoint must fit in."""


def stage_command(stage: StageName, pipeline: str, run_id: str, options: RunOptions) -> list[str]:
    """Return the command that does one stage, wherever it runs."""
    command = [stage.value, pipeline, "--run-id", run_id, "--json"]
    if options.workers is not None:
        command += ["--workers", str(options.workers)]
    if options.force:
        command.append("--force")
    for flag, text in (("--reason", options.reason), ("--requested-by", options.requested_by)):
        if text:
            command.append(f"{flag}={text}")
    return command


@dataclass
class LocalRuntime:
    """Runs one stage at a time as a child process. `stop` may be called from another thread."""

    environment: Mapping[str, str] = field(default_factory=dict)
    """Added to this process's own environment: connections, settings."""

    _child: subprocess.Popen[str] | None = None

    def run(
        self, stage: StageName, pipeline: str, run_id: str, options: RunOptions, emit: Emit
    ) -> StageRecord:
        """Do a stage and return its record.

        Raises:
            LastmileError: Of the class, and with the words, that the child ended with.
            TransientError: The child was ended from outside.
        """
        # -P: the child must not import from whatever folder we happen to stand in.
        command = [sys.executable, "-P", "-m", "lastmile.cli"]
        command += stage_command(stage, pipeline, run_id, options)
        with subprocess.Popen(
            command,
            stdin=subprocess.PIPE,  # never written to: the child ends when it is closed
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env={**os.environ, **self.environment, END_WITH_STDIN: "1"},
            start_new_session=True,  # so that `stop` reaches all of it
        ) as child:
            self._child = child
            follower = threading.Thread(target=_follow, args=(child, emit), daemon=True)
            follower.start()
            try:
                answer = child.stdout.read() if child.stdout else ""
                code = child.wait()
                follower.join(timeout=5)
            except BaseException:
                self.stop()
                raise
            finally:
                self._child = None
        return _read_answer(stage, answer, code)

    def stop(self) -> None:
        """End the running stage: ask, wait, then insist. Nothing runs: nothing happens."""
        child = self._child
        if child is None or child.poll() is not None:
            return
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        finally:
            _kill_group(child.pid)


def _kill_group(group: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def _follow(child: subprocess.Popen[str], emit: Emit) -> None:
    for line in child.stderr or ():
        emit(line.rstrip("\n"))


def _read_answer(stage: StageName, answer: str, code: int) -> StageRecord:
    try:
        value: dict[str, Any] = json.loads(answer)
        if "error" not in value:
            return StageRecord.model_validate(value)
    except (json.JSONDecodeError, ValidationError):
        raise _unexplained(stage, code) from None
    raise _error_from(value["error"], code)


def _error_from(value: dict[str, str], code: int) -> LastmileError:
    """Return the child's error, of its own class where we know it."""
    kind = getattr(errors, value.get("type", ""), None)
    if isinstance(kind, type) and issubclass(kind, LastmileError):
        return kind(value["headline"], value["hint"])
    general = TransientError if code == ExitCode.TRANSIENT else PermanentError
    return general(value["headline"], value["hint"])


def _unexplained(stage: StageName, code: int) -> LastmileError:
    if code < 0:
        name = signal.Signals(-code).name
        hint = "Run again: it goes on where it was."
        if -code == signal.SIGKILL:
            hint += " If nobody killed it, the machine may have run out of memory."
        return TransientError(f"Stage {stage} was ended by {name}.", hint)
    return LastmileError(
        f"Stage {stage} ended with code {code} and no answer.",
        "Its last lines above say more. This is a bug in Lastmile: please report it.",
    )
