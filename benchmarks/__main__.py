"""Measure every figure we state, one after the other, and keep them in docs/benchmarks.md.

`python -m benchmarks` runs all; `python -m benchmarks serve train` runs those two and keeps the rest.
Each benchmark is a program of its own that prints a table; every figure is a ratio against its
alternative, measured in the same run.
"""

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "benchmarks.md"
HEAD = """\
# Figures

Measured by `make bench` (one of them: `python -m benchmarks NAME`), never by a test. Machines differ and
are shared: compare the columns of one table with each other, not with another page.
"""


def names() -> list[str]:
    """Return the benchmarks there are."""
    files = sorted(Path(__file__).parent.glob("[a-z]*.py"))
    return [file.stem for file in files]


def measure(name: str) -> str:
    """Run one benchmark and return its section of the page."""
    print(f"== {name}", flush=True)
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    print(done.stdout, flush=True)
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    day = f"{datetime.now(UTC):%Y-%m-%d}"
    return f"## {name}\n`python -m benchmarks {name}`, {day}, {machine}\n\n{done.stdout.strip()}\n"


def sections(page: str) -> dict[str, str]:
    """Part a page into its sections, by name."""
    parts = page.split("\n## ")[1:]
    return {part.split("\n", 1)[0].strip(): f"## {part.strip()}\n" for part in parts}


def main() -> None:
    """Measure what was asked for."""
    known = names()
    wanted = sys.argv[1:] or known
    if unknown := set(wanted) - set(known):
        sys.exit(f"No benchmark {', '.join(sorted(unknown))}; there are {', '.join(known)}.")
    kept = sections(PAGE.read_text(encoding="utf-8")) if PAGE.exists() else {}
    for name in wanted:
        kept[name] = measure(name)
        body = "\n".join(kept[name] for name in known if name in kept)
        PAGE.write_text(f"{HEAD}\n{body}", encoding="utf-8")


if __name__ == "__main__":
    main()
