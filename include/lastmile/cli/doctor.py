"""`lastmile doctor`: what this machine can do, and the one thing to mend next."""

import importlib.metadata
import os
import shutil
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from lastmile.cli.check import check_pipelines
from lastmile.cli.edge import open_ledger, open_store
from lastmile.deploy.ports import is_free, port_range
from lastmile.errors import LastmileError
from lastmile.pipeline.base import Strict
from lastmile.pipeline.load import pipeline_files, read_pipeline
from lastmile.settings import Settings

if TYPE_CHECKING:
    from lastmile.pipeline.definition import Pipeline

FREE_BYTES = 2_000_000_000
"""Less free space than this is worth a word: a night's artefacts and logs need some."""


class Finding(Strict):
    """One thing that was looked at."""

    subject: str
    is_well: bool
    finding: str
    remedy: str = ""


class Examined(Strict):
    """All that was looked at."""

    findings: tuple[Finding, ...]

    @property
    def is_well(self) -> bool:
        """Whether nothing needs mending."""
        return all(finding.is_well for finding in self.findings)


def examine(settings: Settings) -> Examined:
    """Look at everything a run needs here. Changes nothing but an empty ledger's schema."""
    return Examined(
        findings=(
            _python(),
            *(_extra(*extra) for extra in EXTRAS),
            _pipelines(settings),
            _home(settings),
            _store(settings),
            _ledger(settings),
            _ports(settings),
            _team(settings),
            *_accounts(settings),
        )
    )


EXTRAS = (
    ("train", "tensorflow", "training"),
    ("serve", "flask", "serving"),
    ("airflow", "apache-airflow-core", "nightly runs and the UI"),
)


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    is_well = (3, 11) <= sys.version_info[:2] <= (3, 13)
    return Finding(
        subject="Python", is_well=is_well, finding=f"{version}, {os.cpu_count()} cores",
        remedy="Use Python 3.11, 3.12 or 3.13.",
    )  # fmt: skip


def _extra(extra: str, distribution: str, purpose: str) -> Finding:
    names = (distribution, f"{distribution}-cpu")
    for name in names:
        try:
            found = f"{name} {importlib.metadata.version(name)}"
        except importlib.metadata.PackageNotFoundError:
            continue
        return Finding(subject=purpose, is_well=True, finding=found)
    return Finding(
        subject=purpose, is_well=False, finding=f"{distribution} is not installed",
        remedy=f"Install it: make setup (or the extra lastmile[{extra}]).",
    )  # fmt: skip


def _pipelines(settings: Settings) -> Finding:
    subject = "pipeline files"
    try:
        checked = check_pipelines([], settings)
    except LastmileError as error:
        return Finding(subject=subject, is_well=False, finding=error.headline, remedy=error.hint)
    count, faults = len(checked.files), len(checked.problems)
    return Finding(
        subject=subject, is_well=not faults, finding=f"{count} files, {faults} faults",
        remedy="See each fault with: lastmile check",
    )  # fmt: skip


def _home(settings: Settings) -> Finding:
    home = settings.home_path
    place = next(folder for folder in (home, *home.parents) if folder.exists())
    free = shutil.disk_usage(place).free
    if not os.access(place, os.W_OK):
        finding, remedy = f"{home} cannot be written", "Set LASTMILE_HOME to a folder of yours."
    elif free < FREE_BYTES:
        finding, remedy = f"{home}: {free / 1e9:.1f} GB free", f"Free some space on {place}."
    else:
        return Finding(subject="home", is_well=True, finding=f"{home}, {free / 1e9:.0f} GB free")
    return Finding(subject="home", is_well=False, finding=finding, remedy=remedy)


def _store(settings: Settings) -> Finding:
    try:
        open_store(settings).list_documents("runs")
    except LastmileError as error:
        return Finding(subject="store", is_well=False, finding=error.headline, remedy=error.hint)
    return Finding(subject="store", is_well=True, finding=f"{settings.store} answers")


def _ledger(settings: Settings) -> Finding:
    try:
        open_ledger(settings).releases("")
    except LastmileError as error:
        return Finding(subject="ledger", is_well=False, finding=error.headline, remedy=error.hint)
    kind = settings.ledger.split(":", maxsplit=1)[0]  # the rest may hold a password
    return Finding(subject="ledger", is_well=True, finding=f"{kind} answers")


def _ports(settings: Settings) -> Finding:
    ports = port_range(settings)
    free = sum(is_free(settings.serve_host, port) for port in ports)
    return Finding(
        subject="ports for served models", is_well=free > 0,
        finding=f"{free} of {len(ports)} free in {settings.serve_ports} on {settings.serve_host}",
        remedy="Set LASTMILE_SERVE_PORTS to a free range.",
    )  # fmt: skip


def _accounts(settings: Settings) -> Iterator[Finding]:
    from lastmile.team.examine import examine_accounts
    from lastmile.team.load import rules_or_default

    for found in examine_accounts(rules_or_default(settings), _readable(settings)):
        yield Finding(
            subject=found.subject,
            is_well=found.is_well,
            finding=found.finding,
            remedy=found.remedy,
        )


def _team(settings: Settings) -> Finding:
    from lastmile.team.load import check_rules, team_file

    subject = "team file"
    try:
        problems = check_rules(settings)
    except LastmileError as error:
        return Finding(subject=subject, is_well=False, finding=error.headline, remedy=error.hint)
    if problems:
        return Finding(
            subject=subject, is_well=False, finding=str(problems[0]), remedy=problems[0].hint
        )
    there = team_file(settings).is_file()
    return Finding(
        subject=subject, is_well=True, finding="no fault" if there else "none; all is default"
    )


def _readable(settings: Settings) -> Iterator["Pipeline"]:
    """Yield the pipelines whose files have no fault; the others are another finding."""
    for file in pipeline_files(settings):
        try:
            yield read_pipeline(file)
        except LastmileError:
            continue
