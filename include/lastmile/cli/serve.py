"""`lastmile serve`: released models back into service, or out of it."""

from collections.abc import Callable, Sequence

from lastmile.cli.edge import open_ledger, open_store
from lastmile.deploy import service
from lastmile.deploy.service import Served
from lastmile.errors import ExitCode, LastmileError, PermanentError
from lastmile.ledger.ledger import Ledger
from lastmile.pipeline.base import Strict
from lastmile.pipeline.load import load_pipeline
from lastmile.settings import Settings
from lastmile.store import Store


class ServedModels(Strict):
    """What answers on this machine, one entry per pipeline."""

    models: tuple[Served, ...]

    @property
    def is_well(self) -> bool:
        """Whether nothing went wrong with any of them."""
        return all(model.problem is None for model in self.models)

    @property
    def exit_code(self) -> ExitCode:
        """The worst error's own: a bug, then what a retry would not mend, then what it may."""
        codes = {
            ExitCode.TRANSIENT if model.exit_code is None else model.exit_code
            for model in self.models
            if model.problem is not None
        }
        return min(codes, default=ExitCode.DONE)


def name_of(pipeline: str, settings: Settings) -> str:
    """Return the name of a pipeline that is named, or given by its file.

    A name alone will do: what was released is served even where its file is gone.

    Raises:
        PipelineFileError: The file is not there, or has faults.
    """
    is_file = pipeline.endswith((".yaml", ".yml"))
    return load_pipeline(pipeline, settings).name if is_file else pipeline


def bring_up(pipelines: Sequence[str], settings: Settings) -> ServedModels:
    """See that the champions of these pipelines answer, or of all that were ever released.

    Raises:
        PermanentError: A pipeline has never been released.
    """
    return _for_each(service.bring_up, pipelines, settings)


def take_down(pipelines: Sequence[str], settings: Settings) -> ServedModels:
    """End the servers of these pipelines, or of all; what was released can be brought up again.

    Raises:
        PermanentError: A pipeline has never been released.
    """
    return _for_each(service.take_down, pipelines, settings)


def names_running(settings: Settings) -> list[str]:
    """Return the pipelines whose server runs on this machine."""
    released = open_ledger(settings).released_pipelines()
    return [name for name in released if service.served(name, settings).pid is not None]


def _for_each(
    change: Callable[[str, Settings, Store, Ledger], Served],
    pipelines: Sequence[str],
    settings: Settings,
) -> ServedModels:
    """Change one service after the other; what is wrong with one stops none of the others."""
    store, ledger = open_store(settings), open_ledger(settings)
    pipelines = [name_of(pipeline, settings) for pipeline in pipelines]
    released = ledger.released_pipelines()
    for unknown in sorted({*pipelines} - {*released}):
        raise PermanentError(
            f"No model of {unknown} has been released.",
            f"Models of these have: {', '.join(released)}." if released else "Release one first.",
        )
    found = []
    for pipeline in pipelines or released:
        try:
            found.append(change(pipeline, settings, store, ledger))
        except LastmileError as error:
            now = service.served(pipeline, settings)
            problem = f"{error.headline} {error.hint}".strip()
            found.append(now.model_copy(update={"problem": problem, "exit_code": error.exit_code}))
    return ServedModels(models=tuple(found))
