"""Where several workers share their figures. Imports prometheus_client late, on purpose.

prometheus_client decides at import, by an environment variable, whether its figures live in memory or in
files that processes share.
"""

import os
from pathlib import Path

_FOLDER = "PROMETHEUS_MULTIPROC_DIR"


def share_figures(folder: Path) -> None:
    """Let this process and the ones it forks share their figures; call before importing `metrics`."""
    os.environ[_FOLDER] = str(folder)


def is_shared() -> bool:
    """Tell whether figures are shared."""
    return _FOLDER in os.environ


def forget_worker(pid: int) -> None:
    """Leave an ended worker's present state out of the figures; what it counted stays."""
    if is_shared():
        from prometheus_client import multiprocess

        multiprocess.mark_process_dead(pid)  # type: ignore[no-untyped-call]
