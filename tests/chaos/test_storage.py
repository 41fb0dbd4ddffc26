"""A store that is full or cannot be written: said clearly, nothing that stands falls, and it heals."""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from lastmile.errors import ExitCode
from project import FLOWERS, Project, write_flowers

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.skipif(
        os.geteuid() != 0 or shutil.which("mount") is None,
        reason="mounting a small file system needs root",
    ),
]


@dataclass
class SmallDisk:
    """A file system of its own whose size and mode a test can change."""

    path: Path

    def mount(self, options: str) -> None:
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", self.path], check=True)

    def change(self, options: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{options}", self.path], check=True)

    def content(self) -> dict[str, str]:
        return {
            str(path.relative_to(self.path)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in self.path.rglob("*")
            if path.is_file() and path.name != "filler"
        }

    def fill(self) -> None:
        """Leave no byte free."""
        with suppress(OSError), (self.path / "filler").open("wb", buffering=0) as file:
            while True:
                file.write(b"\0" * 4096)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    path = tmp_path / "disk"
    path.mkdir()
    disk = SmallDisk(path)
    disk.mount("size=8m")
    yield disk
    subprocess.run(["umount", path], check=True)


@pytest.fixture
def stored(disk: SmallDisk, tmp_path: Path) -> Project:
    """A project whose store is the small disk, with one run prepared."""
    root = tmp_path / "project"
    root.mkdir()
    project = Project(root, {"LASTMILE_STORE_URL": f"file://{disk.path}"})
    project.add("flowers", FLOWERS)
    write_flowers(root / "flowers.csv")
    project.ask("prepare", "flowers", "--run-id", "good")
    return project


def test_a_full_store_is_said_and_once_there_is_room_the_same_run_goes_on(
    disk: SmallDisk, stored: Project
) -> None:
    before = disk.content()
    disk.fill()
    write_flowers(stored.root / "flowers.csv", seed=8)
    answer = stored.ask("prepare", "flowers", "--run-id", "next", expect=ExitCode.TRANSIENT)
    assert "is full" in answer["error"]["headline"]
    assert "Free some space" in answer["error"]["hint"]
    assert disk.content() == before
    (disk.path / "filler").unlink()
    assert stored.ask("prepare", "flowers", "--run-id", "next")["reused_from"] is None


def test_a_store_that_cannot_be_written_is_wrong_input(disk: SmallDisk, stored: Project) -> None:
    before = disk.content()
    disk.change("ro")
    try:
        write_flowers(stored.root / "flowers.csv", seed=8)
        answer = stored.ask("prepare", "flowers", "--run-id", "n", expect=ExitCode.WRONG_INPUT)
        assert "Read-only file system" in answer["error"]["headline"]
        assert "LASTMILE_STORE_URL" in answer["error"]["hint"]
        assert disk.content() == before
    finally:
        disk.change("rw")


def test_training_on_a_full_home_leaves_no_half_bundle(disk: SmallDisk, tmp_path: Path) -> None:
    project = Project(tmp_path, {"LASTMILE_STORE_URL": f"file://{tmp_path / 'store'}"})
    project.add("flowers", FLOWERS)
    write_flowers(tmp_path / "flowers.csv")
    project.ask("prepare", "flowers", "--run-id", "r")
    ledger = project.home / "ledger.db"
    project.environment |= {
        "LASTMILE_LEDGER_URL": f"sqlite:///{ledger}",
        "LASTMILE_HOME": str(disk.path),
    }
    disk.fill()
    answer = project.ask("train", "flowers", "--run-id", "r", expect=ExitCode.TRANSIENT)
    assert "There is no room to work in" in answer["error"]["headline"]
    assert not list((tmp_path / "store" / "artefacts").glob("*/model.onnx"))
    (disk.path / "filler").unlink()
    assert project.ask("train", "flowers", "--run-id", "r")["exit_code"] == ExitCode.DONE
