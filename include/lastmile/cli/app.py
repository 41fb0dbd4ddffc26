"""The commands. Each reads its arguments, calls one function, and shows what it gave."""

from pathlib import Path
from typing import Annotated

import typer

from lastmile.cli import text
from lastmile.cli.incidents import incidents_app
from lastmile.errors import ExitCode
from lastmile.run import RunOptions, StageName
from lastmile.settings import MOST_WORKERS

app = typer.Typer(
    name="lastmile",
    help="From raw data to a served, watched model.\n\nExit codes: 0 done, 1 a bug in Lastmile, "
    "2 wrong input, settings or pipeline file (do not retry), 3 the verdict is REJECT, "
    "4 NEEDS_HUMAN, 75 a transient fault (retry).",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

PipelineName = Annotated[
    str, typer.Argument(metavar="PIPELINE", help="Its name in include/pipelines, or a file.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]
RunId = Annotated[str, typer.Option(help="The run this stage belongs to.")]
Workers = Annotated[
    int | None,
    typer.Option(
        min=1, max=MOST_WORKERS, help="Workers of the gang. Default: LASTMILE_WORKERS, else 1."
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Do it anew even if nothing has changed.")]
Reason = Annotated[str, typer.Option(help="Why this run; stands in the release's passport.")]
RequestedBy = Annotated[
    str, typer.Option(help="Who or what started it. Default: the user of this process.")
]


@app.command()
def check(
    pipelines: Annotated[
        list[str] | None, typer.Argument(metavar="PIPELINE", help="Default: all.")
    ] = None,
    json: Json = False,
) -> ExitCode:
    """Validate pipeline files: every fault, with its line.

    Each is shown as file:line:column, what is wrong, and a hint.
    """
    from lastmile.cli.check import check_pipelines
    from lastmile.settings import load_settings

    found = check_pipelines(pipelines or [], load_settings())
    text.show(found, json, text.checked)
    return ExitCode.WRONG_INPUT if found.problems else ExitCode.DONE


@app.command()
def run(
    pipeline: PipelineName,
    run_id: Annotated[str | None, typer.Option(help="Default: the moment it starts.")] = None,
    workers: Workers = None,
    force: Force = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Judge the candidate, release nothing.")
    ] = False,
    reason: Reason = "",
    requested_by: RequestedBy = "",
    json: Json = False,
) -> ExitCode:
    """Do all stages, without Airflow.

    The same --run-id again goes on where it was.
    """
    from lastmile.cli.run import run_pipeline

    options = RunOptions(
        workers=workers, force=force, dry_run=dry_run, reason=reason, requested_by=requested_by
    )
    outcome = run_pipeline(pipeline, run_id, options)
    text.show(outcome, json, text.ran)
    return outcome.exit_code


def _stage_command(stage: StageName, help_text: str) -> None:
    def command(
        pipeline: PipelineName,
        run_id: RunId,
        workers: Workers = None,
        force: Force = False,
        reason: Reason = "",
        requested_by: RequestedBy = "",
        json: Json = False,
    ) -> ExitCode:
        from lastmile.cli.edge import open_context
        from lastmile.run import execute

        options = RunOptions(workers=workers, force=force, reason=reason, requested_by=requested_by)
        record = execute(stage, open_context(pipeline, run_id, options))
        text.show(record, json, text.stage_done)
        return record.exit_code

    app.command(stage.value, help=help_text)(command)


_stage_command(StageName.PREPARE, "One stage: raw rows to a dataset.")
_stage_command(StageName.TRAIN, "One stage: a dataset to a bundle.")
_stage_command(StageName.EVALUATE, "One stage: a bundle to a verdict (exit 0, 3 or 4).")
_stage_command(StageName.PACKAGE, "One stage: an approved bundle to a release candidate.")
_stage_command(StageName.DEPLOY, "One stage: a release candidate into service.")


@app.command()
def announce(
    pipeline: PipelineName,
    run_id: RunId,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="The run released nothing.")] = False,
    json: Json = False,
) -> ExitCode:
    """Tell the team how a run ended.

    It is told once, however often this is called.
    """
    from lastmile.cli.edge import open_context
    from lastmile.team.announce import announce as announce_run
    from lastmile.team.deliver import deliver_now

    context = open_context(pipeline, run_id, RunOptions(dry_run=dry_run))
    event = announce_run(context)
    deliver_now(context.ledger, context.settings)
    text.show(event, json, text.announced)
    return ExitCode.DONE


@app.command()
def predict(
    pipeline: PipelineName,
    input: Annotated[  # noqa: A002 - the option is called so
        Path, typer.Option(help="JSON (a list of records) or CSV; `-` for JSON on stdin.")
    ],
    json: Json = False,
) -> ExitCode:
    """Ask the served model."""
    from lastmile.cli.predict import ask_served_model
    from lastmile.settings import load_settings

    text.show(ask_served_model(pipeline, input, load_settings()), json, text.predicted)
    return ExitCode.DONE


@app.command()
def serve(
    pipelines: Annotated[
        list[str] | None,
        typer.Argument(metavar="PIPELINE", help="Names or files. Default: all released."),
    ] = None,
    stop: Annotated[bool, typer.Option("--stop", help="End the servers instead.")] = False,
    json: Json = False,
) -> ExitCode:
    """Bring released models back into service.

    After a reboot, say. With --stop their servers end instead.
    """
    from lastmile.cli.serve import bring_up, take_down
    from lastmile.settings import load_settings

    change = take_down if stop else bring_up
    models = change(pipelines or [], load_settings())
    text.show(models, json, text.served)
    return models.exit_code


@app.command()
def releases(pipeline: PipelineName, json: Json = False) -> ExitCode:
    """List what was put in service, newest first."""
    from lastmile.cli.history import list_releases
    from lastmile.settings import load_settings

    text.show(list_releases(pipeline, load_settings()), json, text.released)
    return ExitCode.DONE


@app.command()
def explain(
    pipeline: PipelineName,
    version: Annotated[int | None, typer.Option(help="Default: the champion.")] = None,
    json: Json = False,
) -> ExitCode:
    """Show a release's passport.

    Which data, labels, code, settings, person and run made the model that answers.
    """
    from lastmile.cli.history import find_passport
    from lastmile.settings import load_settings

    text.show(find_passport(pipeline, version, load_settings()), json, text.passport)
    return ExitCode.DONE


@app.command()
def rollback(
    pipeline: PipelineName,
    version: Annotated[int | None, typer.Option(help="Default: the release before.")] = None,
    reason: Annotated[str, typer.Option(help="Why; stands with the release.")] = "",
    requested_by: RequestedBy = "",
    json: Json = False,
) -> ExitCode:
    """Put an earlier release back into service.

    It has to pass its smoke test again first.
    """
    from lastmile.cli.history import roll_back
    from lastmile.settings import load_settings

    done = roll_back(pipeline, version, reason, requested_by, load_settings())
    text.show(done, json, text.rolled_back)
    return ExitCode.DONE


app.add_typer(incidents_app)


@app.command()
def doctor(json: Json = False) -> ExitCode:
    """Say what this machine can do and what is missing.

    And the one thing to mend next.
    """
    from lastmile.cli.doctor import examine
    from lastmile.settings import load_settings

    examined = examine(load_settings())
    text.show(examined, json, text.examined)
    return ExitCode.DONE if examined.is_well else ExitCode.WRONG_INPUT


@app.command()
def schema(
    team: Annotated[bool, typer.Option("--team", help="Of include/team.yaml instead.")] = False,
) -> ExitCode:
    """Print the JSON Schema of pipeline files."""
    from lastmile.pipeline.schema import pipeline_schema
    from lastmile.team.schema import team_schema

    typer.echo(team_schema() if team else pipeline_schema(), nl=False)
    return ExitCode.DONE
