"""The page of a pipeline's DAG in the Airflow UI, made from the pipeline file."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lastmile.pipeline.data import Data, Source
    from lastmile.pipeline.definition import Pipeline

FAILS = """\
- A **rejected model is not a failed run**: package and deploy are skipped, the champion keeps serving,
  and `evaluate.is_approved` shows the verdict in its log and XCom.
- A **failed task** says in its last log lines what happened and what to do. Faults that may pass are
  retried by themselves; wrong data, settings or pipeline files are not.
- Once mended, clear the failed task: what was done before is reused. Or run the stage without Airflow:
  `lastmile <stage> {name} --run-id <run id>`.
- To go back to the release before: `lastmile rollback {name}`."""


def pipeline_page(pipeline: "Pipeline") -> str:
    """Return Markdown: what it is, what goes in and comes out, what to do when it fails, whose it is."""
    return "\n\n".join(
        [
            f"# {pipeline.name}",
            f"## What\n\n{pipeline.description or 'No description in the pipeline file.'}\n\n"
            f"{_schedule(pipeline)}",
            "## Inputs\n\n" + "\n".join(_inputs(pipeline.data)),
            "## Outputs\n\n" + "\n".join(_outputs(pipeline)),
            "## When it fails\n\n" + FAILS.format(name=pipeline.name),
            "## Owner\n\n" + _owner(pipeline),
        ]
    )


def broken_page(file: str, faults: str) -> str:
    """Return the page of a pipeline whose file is wrong."""
    return "\n\n".join(
        [
            f"# {file} is broken",
            f"## What\n\nThis pipeline file has faults, so its model is not renewed:\n\n```\n{faults}\n```",
            "## Inputs\n\nNone, until the file is mended.",
            "## Outputs\n\nNone. A model released before goes on serving.",
            "## When it fails\n\nIt fails until the file is mended; `lastmile check` shows all faults. "
            "The real DAG is back within a minute.",
            "## Owner\n\nWhoever last changed the file.",
        ]
    )


def _schedule(pipeline: "Pipeline") -> str:
    when = f"at `{pipeline.schedule}` (UTC)" if pipeline.schedule else "only when triggered"
    return f"Runs {when}: prepare, train, evaluate, package, deploy, announce."


def _inputs(data: "Data") -> Iterator[str]:
    for source in data.sources:
        yield f"- `{source.name}`: {_source(source)}"
    label = f"Label `{data.label.column}`"
    if data.label.classes:
        label += f", classes {', '.join(data.label.classes)}"
    yield f"- {label}; key {f'`{data.key}`' if data.key else 'all values of a row'}"
    if data.columns:
        yield f"- {len(data.columns)} columns under contract: " + ", ".join(
            f"`{name}`" for name in data.columns
        )
    yield f"- Rows that break the contract are set aside; above {data.quarantine.max_share:.1%} it fails"


def _source(source: "Source") -> str:
    if source.csv:
        return f"CSV `{source.csv.path}`"
    if source.sql:
        return f"SQL over the connection `{source.sql.connection}`"
    return f"Python, `{source.python.call}`" if source.python else "nothing"


def _outputs(pipeline: "Pipeline") -> Iterator[str]:
    train, gate = pipeline.train, pipeline.gate
    yield (
        f"- A {pipeline.task} model of kind {train.model.kind}, at most {train.epochs} epochs "
        f"of {train.optimizer.kind} with {train.batch_size} rows a step"
    )
    asked = [f"{name} ≥ {value:g}" for name, value in gate.at_least.items()]
    asked += [f"{name} ≤ {value:g}" for name, value in gate.at_most.items()]
    asked.append(
        f"{pipeline.primary_metric} better than the baseline and at most "
        f"{gate.not_worse_than_champion_by:g} worse than the champion"
    )
    yield f"- A verdict over the test split: {'; '.join(asked)}"
    yield "- With the verdict PROMOTE a release, smoke-tested, that answers `POST /predict`"
    name = pipeline.name
    yield f"- Assets `{name}_dataset`, `{name}_approved`, `{name}_released` for other DAGs"


def _owner(pipeline: "Pipeline") -> str:
    told = []
    if pipeline.team.tracker:
        told.append(f"tickets in `{pipeline.team.tracker}`")
    if pipeline.team.channel:
        told.append(f"messages in `#{pipeline.team.channel}`")
    return f"{pipeline.owner}; told by {' and '.join(told) or 'the console and the ledger'}."
