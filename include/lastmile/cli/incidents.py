"""`lastmile incidents`: what is open, what was told to whom, what waits and why; and what to do about it."""

import getpass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from lastmile.cli import text
from lastmile.errors import ExitCode
from lastmile.pipeline.base import Strict
from lastmile.settings import load_settings

if TYPE_CHECKING:
    from lastmile.ledger.incidents import Incident

incidents_app = typer.Typer(
    name="incidents", invoke_without_command=True, add_completion=False, rich_markup_mode=None
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]
Number = Annotated[int, typer.Argument(metavar="INCIDENT", help="Its number in the list.")]
By = Annotated[str, typer.Option(help="Who you are. Default: the user of this process.")]


class Resent(Strict):
    """Messages that are tried again."""

    messages: tuple[int, ...]
    sent: int
    """How many of what was due went through at once."""


@incidents_app.callback()
def incidents(
    context: typer.Context,
    deliver: Annotated[
        bool, typer.Option("--deliver", help="First try to deliver what waits in the outbox.")
    ] = False,
    json: Json = False,
) -> ExitCode:
    """List what is open, and what was told to whom."""
    if context.invoked_subcommand is not None:
        return ExitCode.DONE
    from lastmile.cli.edge import open_ledger
    from lastmile.team.deliver import deliver_now
    from lastmile.team.listing import list_incidents, render

    settings = load_settings()
    ledger = open_ledger(settings)
    if deliver:
        deliver_now(ledger, settings)
    text.show(list_incidents(ledger), json, render)
    return ExitCode.DONE


@incidents_app.command()
def take(incident: Number, by: By = "", json: Json = False) -> ExitCode:
    """Say that you are at it: nobody else is called."""
    from lastmile.cli.edge import open_ledger
    from lastmile.team.handle import take as take_up

    taken = take_up(
        open_ledger(load_settings()), incident, by or getpass.getuser(), datetime.now(UTC)
    )
    text.show(taken, json, lambda i: f"#{i.id} of {i.pipeline} is taken up by {i.touched_by}.")
    return ExitCode.DONE


@incidents_app.command()
def resolve(
    incident: Number,
    reason: Annotated[str, typer.Option(help="Why it is over; ticket and thread say it.")] = "",
    by: By = "",
    json: Json = False,
) -> ExitCode:
    """Say that it is over, though no run has shown it."""
    from lastmile.cli.edge import open_ledger
    from lastmile.team.deliver import deliver_now
    from lastmile.team.handle import resolve as end
    from lastmile.team.load import rules_or_default

    settings = load_settings()
    ledger = open_ledger(settings)
    rules = rules_or_default(settings)
    ended = end(ledger, rules, incident, by or getpass.getuser(), reason, datetime.now(UTC))
    deliver_now(ledger, settings)
    text.show(ended, json, lambda i: f"#{i.id} of {i.pipeline} is over.")
    return ExitCode.DONE


@incidents_app.command()
def silence(
    incident: Number,
    ticket: Annotated[str, typer.Option(help="Where the reason stands.")],
    until: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="The last day, UTC.")],
    json: Json = False,
) -> ExitCode:
    """Tell nobody of its cause until a day is over.

    It is counted and listed all the same.
    """
    from lastmile.cli.edge import open_ledger
    from lastmile.team.deliver import deliver_now
    from lastmile.team.handle import silence as keep_quiet

    settings = load_settings()
    ledger, now = open_ledger(settings), datetime.now(UTC)
    silenced = keep_quiet(
        ledger, incident, ticket, until.replace(tzinfo=UTC) + timedelta(days=1), now
    )
    deliver_now(ledger, settings)
    text.show(silenced, json, _silenced)
    return ExitCode.DONE


@incidents_app.command()
def resend(
    messages: Annotated[
        list[int] | None,
        typer.Argument(metavar="MESSAGE", help="Default: all that wait or were given up."),
    ] = None,
    json: Json = False,
) -> ExitCode:
    """Try again at once to send what could not be sent."""
    from lastmile.cli.edge import open_ledger
    from lastmile.team.deliver import deliver_now
    from lastmile.team.handle import resend as try_again

    settings = load_settings()
    ledger = open_ledger(settings)
    chosen = try_again(ledger, messages or [], datetime.now(UTC))
    report = deliver_now(ledger, settings)
    text.show(Resent(messages=tuple(chosen), sent=report.sent), json, _resent)
    return ExitCode.DONE


def _silenced(incident: "Incident") -> str:
    return f"#{incident.id} of {incident.pipeline} is silenced until {incident.silenced_until:%Y-%m-%d}."


def _resent(value: Resent) -> str:
    if not value.messages:
        return "Nothing waits, and nothing was given up."
    tried = ", ".join(map(str, value.messages))
    return f"Tried again: {tried}. Sent now: {value.sent}. The rest: lastmile incidents"
