"""A project of a test's own: a root with pipeline files, and the `lastmile` command run in it."""

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

FLOWERS: dict[str, Any] = {
    "task": "binary",
    "data": {
        "sources": [{"name": "flowers", "csv": {"path": "flowers.csv"}}],
        "key": "flower_id",
        "label": {"column": "is_virginica", "map": {"yes": 1, "no": 0}},
        "columns": {
            "petal_length": {"type": "number", "min": 0},
            "petal_width": {"type": "number", "min": 0},
            "colour": {"type": "category", "allowed": ["blue", "white"]},
        },
        "clean": [
            {"text": {"columns": ["colour"]}},
            "contract",
            {"missing": {"columns": ["petal_width"], "by": "median"}},
        ],
    },
    "train": {"model": {"units": [8]}, "optimizer": {"kind": "adam", "learning_rate": 0.02},
              "batch_size": 32, "epochs": 8},
    "gate": {"at_least": {"roc_auc": 0.8}, "min_rows": 20},
}  # fmt: skip


def write_flowers(path: Path, rows: int = 400, seed: int = 7) -> None:
    """Write flowers whose petals nearly tell their species."""
    generator = random.Random(seed)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["flower_id", "petal_length", "petal_width", "colour", "is_virginica"])
        for number in range(rows):
            is_virginica = generator.random() < 0.5
            length = generator.gauss(5.5 if is_virginica else 4.3, 0.5)
            width = generator.gauss(2.0 if is_virginica else 1.3, 0.25)
            writer.writerow(
                [
                    f"f{number}",
                    f"{abs(length):.2f}",
                    "" if generator.random() < 0.05 else f"{abs(width):.2f}",
                    generator.choice(["blue", " Blue", "white"]),
                    "yes" if is_virginica else "no",
                ]
            )


@dataclass
class Project:
    """Runs the real command, in processes of its own, over a root of its own."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, definition: Mapping[str, Any]) -> None:
        """Write a pipeline file."""
        folder = self.root / "include" / "pipelines"
        folder.mkdir(parents=True, exist_ok=True)
        text = yaml.safe_dump({"name": name, "owner": "test-team", **definition}, sort_keys=False)
        (folder / f"{name}.yaml").write_text(text)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start the command in a session of its own."""
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "lastmile.cli", *arguments],
            cwd=self.root,
            env={**os.environ, "LASTMILE_ROOT": str(self.root), **self.environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments: str, timeout: float = 240) -> subprocess.CompletedProcess[str]:
        """Run the command to its end."""
        process = self.start(*arguments)
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            self.kill(process)
            raise
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def ask(self, *arguments: str, expect: int = 0) -> Any:
        """Run the command with --json and return its answer; fail loudly on another exit code."""
        done = self.run(*arguments, "--json")
        assert done.returncode == expect, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return json.loads(done.stdout)

    def kill(self, process: subprocess.Popen[str]) -> None:
        """SIGKILL a started command and everything in its session."""
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()

    @property
    def home(self) -> Path:
        return self.root / ".lastmile"


def wait_until(condition: Callable[[], Any], what: str, seconds: float = 60) -> Any:
    """Wait for a condition and return what it gave."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds} s: {what}")
