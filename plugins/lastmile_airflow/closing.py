"""What the demo ends with: the verdict, the served model and its answer, the messages, the login."""

import json
import shlex
from typing import TYPE_CHECKING, Any

import httpx

from lastmile.errors import ServiceUnavailableError
from lastmile.run import RunOptions, StageName
from lastmile_airflow.environment import run_context
from lastmile_airflow.operators import read_verdict

if TYPE_CHECKING:
    from lastmile.run import Context
    from lastmile_airflow.screen import Screen


def show(screen: "Screen", pipeline: str, run_id: str) -> None:
    """Show the verdict, the served model with a real answer, and what was told to whom.

    Raises:
        LastmileError: A result is missing, or the served model does not answer.
    """
    from lastmile.cli import text

    context = run_context(pipeline, run_id, RunOptions())
    screen.line()
    screen.line(text.verdict(read_verdict(context)))
    show_model(screen, context)
    show_messages(screen, context)


def show_model(screen: "Screen", context: "Context") -> None:
    """Show a line that asks the served model, and what it answers.

    Raises:
        ServiceUnavailableError: It does not answer as it should.
    """
    champion = context.ledger.champion(context.pipeline.name)
    if champion is None or champion.address is None:
        screen.heading("No model serves")
        return
    body = example_body(context)
    screen.heading(f"Version {champion.version} serves at {champion.address}. Ask it:")
    screen.line(curl_line(champion.address, body))
    screen.line(ask(champion.address, body))


def example_body(context: "Context") -> dict[str, Any]:
    """Return a request with the first of the run's golden records."""
    from lastmile.artefacts.verdict import Golden

    folder = context.store.open_artefact(context.record(StageName.EVALUATE).artefact)
    golden = Golden.model_validate_json((folder / "golden.json").read_bytes())
    return {"instances": [golden.records[0]]}


def curl_line(address: str, body: dict[str, Any]) -> str:
    """Return a command for any shell."""
    return (
        f"curl -s {address}/predict -H 'Content-Type: application/json' "
        f"-d {shlex.quote(json.dumps(body))}"
    )


def ask(address: str, body: dict[str, Any]) -> str:
    """Return the served model's own answer.

    Raises:
        ServiceUnavailableError: It does not answer, or not with 200.
    """
    try:
        answer = httpx.post(f"{address}/predict", json=body, timeout=10.0)
    except httpx.HTTPError as error:
        raise ServiceUnavailableError(
            f"The model at {address} does not answer: {error}",
            "`lastmile serve` brings it back; its log is in .lastmile/served.",
        ) from error
    if answer.status_code != httpx.codes.OK:
        raise ServiceUnavailableError(
            f"The model at {address} answered {answer.status_code}: {answer.text}", ""
        )
    return answer.text.strip()


def show_messages(screen: "Screen", context: "Context") -> None:
    """Show what was told of the run: sent where, or, without an account, the text that would have gone."""
    from lastmile.ledger import outbox
    from lastmile.team.events import Message
    from lastmile.team.places import destination
    from lastmile.team.render.console import console_text

    with context.ledger.read() as connection:
        entries = outbox.read_entries(connection, statuses=("waiting", "sent", "printed", "dead"))
    for entry in entries:
        message = Message.model_validate(entry.body)
        if (message.event.pipeline, message.event.run_id) != (
            context.pipeline.name,
            context.run_id,
        ):
            continue
        where = destination(entry.channel, message)
        if entry.status == "sent":
            screen.heading(f"{where}: {message.action}, sent as {entry.remote_id}")
        else:
            screen.line()
            screen.line(console_text(message, f"{where}, {entry.error or 'waits'}").rstrip())


def show_airflow(screen: "Screen", address: str, user: str, password: str) -> None:
    """Show where Airflow is and how to log in."""
    screen.heading(f"Airflow: {address}")
    screen.line(f"user {user}, password {password}")
