"""What the demo shows: whole lines, and on a terminal one line that changes while something runs."""

import shutil
import sys
import time
from typing import TextIO

STEADY_SECONDS = 10.0
"""Where the output is no terminal, progress is a line of its own, no oftener than this."""


class Screen:
    """Writes to a terminal, a pipe or a file."""

    def __init__(self, out: TextIO = sys.stdout) -> None:
        self._out = out
        self._is_terminal = out.isatty()
        self._has_progress = False
        self._last_progress = 0.0

    def line(self, text: str = "") -> None:
        """Write a line for good."""
        self._wipe()
        self._out.write(f"{text}\n")
        self._out.flush()

    def heading(self, text: str) -> None:
        """Write a heading after an empty line."""
        self.line()
        self.line(f"\033[1m{text}\033[0m" if self._is_terminal else text)

    def progress(self, text: str) -> None:
        """Show what goes on just now; the next text takes its place."""
        if self._is_terminal:
            width = shutil.get_terminal_size().columns
            self._out.write(f"\r\033[K{text[: width - 1]}")
            self._has_progress = True
        elif time.monotonic() - self._last_progress >= STEADY_SECONDS:
            self._last_progress = time.monotonic()
            self._out.write(f"{text}\n")
        self._out.flush()

    def _wipe(self) -> None:
        if self._has_progress:
            self._out.write("\r\033[K")
            self._has_progress = False
        self._last_progress = time.monotonic()
