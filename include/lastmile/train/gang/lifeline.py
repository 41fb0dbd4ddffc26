"""No orphan trains on: a worker ends when its supervisor does, however that ended."""

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable

from lastmile.errors import ExitCode
from lastmile.train.gang.events import Alive, EventWriter

PR_SET_PDEATHSIG = 1
BEAT_SECONDS = 1.0


def tie_to_supervisor(supervisor: int) -> None:
    """End with the supervisor: at once by the kernel's word on Linux, else when its pipe closes.

    Args:
        supervisor: Its process id; the worker's standard input is a pipe that it holds open.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != supervisor:  # it died before the call above
        os._exit(ExitCode.TRANSIENT)
    threading.Thread(target=_end_at_eof, name="lifeline", daemon=True).start()


def _end_at_eof() -> None:
    while os.read(0, 1024):
        pass
    os._exit(ExitCode.TRANSIENT)


def beat(events: EventWriter) -> None:
    """Tell the supervisor once a second, from a thread, that this process is not frozen."""

    def run() -> None:
        while True:
            events.send(Alive())
            time.sleep(BEAT_SECONDS)

    threading.Thread(target=run, name="heartbeat", daemon=True).start()


class StopFlag:
    """Set by SIGTERM. TensorFlow puts its own handler in the way, so it is armed once more later."""

    def __init__(self) -> None:
        self.is_set = False
        self._early: Callable[[], None] | None = None

    def arm(self, early: Callable[[], None] | None = None) -> None:
        """Take SIGTERM over, and leave Ctrl-C to the supervisor.

        Args:
            early: What to do at once, while there is nothing yet to be brought to an end.
        """
        self._early = early
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def _on_signal(self, *_: object) -> None:
        self.is_set = True
        if self._early is not None:
            self._early()
