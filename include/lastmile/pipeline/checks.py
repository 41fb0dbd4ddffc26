"""What no single part of a pipeline file can know: whether its parts fit each other.

Each check looks at one thing and is written as if all else were right (`lastmile.pipeline.faults.known`).
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from lastmile.pipeline.classes import class_names, label_faults
from lastmile.pipeline.faults import Fault, Where, known, within
from lastmile.pipeline.problems import choices, near_match

if TYPE_CHECKING:
    from lastmile.pipeline.data import CleanStep, Data
    from lastmile.pipeline.definition import Pipeline

NUMERIC = ("integer", "number")
ORDERED = (*NUMERIC, "boolean")


def cross_faults(pipeline: "Pipeline", file_name: str) -> Iterator[Fault]:
    """Yield whatever does not fit.

    Args:
        pipeline: The pipeline, or what is known of it.
        file_name: The file's name without its ending.
    """
    yield from known(_name_faults(pipeline, file_name))
    yield from known(_weights_faults(pipeline))
    yield from known(label_faults(pipeline))
    yield from known(_split_faults(pipeline))
    yield from known(_steps_faults(pipeline))


def _name_faults(pipeline: "Pipeline", file_name: str) -> Iterator[Fault]:
    name = pipeline.name
    if name != file_name:
        yield Fault(
            ("name",),
            f"name is {name!r}, the file is called {file_name + '.yaml'!r}",
            f"Rename the file to {name}.yaml, or the pipeline to {file_name}.",
        )


def _weights_faults(pipeline: "Pipeline") -> Iterator[Fault]:
    weights = pipeline.train.class_weights
    if weights is None:
        return
    where: Where = ("train", "class_weights")
    if pipeline.task == "regression":
        yield Fault(where, "class_weights are for classes, not for regression", "Take them out.")
    elif isinstance(weights, dict):
        classes = class_names(pipeline.data.label)
        for name in weights:
            if classes and name not in classes:
                hint = near_match(name, classes) or choices(classes)
                yield Fault((*where, name), f"there is no class {name!r}", hint)


def _split_faults(pipeline: "Pipeline") -> Iterator[Fault]:
    column = pipeline.data.split.column
    if column is not None:
        yield from _column_faults(pipeline.data, ("data", "split", "column"), column)


def _steps_faults(pipeline: "Pipeline") -> Iterator[Fault]:
    for index, step in enumerate(pipeline.data.clean):
        yield from within(("data", "clean", index), _step_faults(pipeline.data, step))


def _step_faults(data: "Data", step: "CleanStep") -> Iterator[Fault]:
    if sum(getattr(step, kind) is not None for kind in type(step).model_fields) != 1:
        return  # none or several: the step says so itself
    kind, settings = step.kind, step.settings
    keys = type(settings).model_fields
    if "columns" in keys:
        for position, name in enumerate(settings.columns):
            where: Where = (kind, "columns", position)
            yield from known(_column_faults(data, where, name))
            yield from known(_misfits(data, step, where, name))
    for key in ("order_by", "group"):
        if key in keys and (name := getattr(settings, key)):
            yield from known(_column_faults(data, (kind, key), name))
    yield from known(_key_faults(data, step))


def _column_faults(data: "Data", where: Where, name: str) -> Iterator[Fault]:
    if not data.columns or "${" in name:  # without a contract the data alone tells
        return
    names = {*data.columns, data.label.column} | ({data.key} if data.key else set())
    if name not in names:
        hint = near_match(name, names)
        hint = hint or "Add it there; with `feature: false` the model does not read it."
        yield Fault(where, f"there is no column {name!r} in data.columns", hint)


def _misfits(data: "Data", step: "CleanStep", where: Where, name: str) -> Iterator[Fault]:
    """What a step does has to fit the column's type."""
    kind = _type_of(data, name)
    if step.missing is not None and step.missing.by != "drop" and name == data.label.column:
        hint = "A filled label is an invented one: use by: drop, or leave it out."
        yield Fault(where, f"missing would fill the label {name!r}", hint)
    elif kind is None:
        return
    elif step.outliers is not None and kind not in NUMERIC:
        message = f"column {name!r} is a {kind}; outliers are for numbers"
        yield Fault(where, message, "Leave it out.")
    elif step.text is not None and kind != "category":
        hint = "Leave it out: blanks around numbers and times are ignored anyway."
        yield Fault(where, f"column {name!r} is a {kind}; text is for categories", hint)
    elif step.missing is not None and (why := _unfit(step.missing.by, step.missing.value, kind)):
        hint = "Use a constant of its type, mode for a category, median for a number, or drop."
        yield Fault(where, f"column {name!r} is a {kind}; {why}", hint)


def _unfit(by: str, value: float | str | None, kind: str) -> str:
    """Return why a missing value of this type cannot be filled so, or nothing."""
    if by == "median" and kind not in ORDERED:
        return "it has no median"
    if by == "mode" and kind == "timestamp":
        return "its mode says nothing"
    if by == "constant" and value is not None:
        if kind == "timestamp":
            return "no constant can fill it"
        if (kind in ORDERED) == isinstance(value, str):
            shown = repr(value) if isinstance(value, str) else f"{value:g}"
            return f"{shown} cannot fill it"
    return ""


def _type_of(data: "Data", name: str) -> str | None:
    """Return a column's type; key and label are read as texts. None: nobody said."""
    if name in data.columns:
        return data.columns[name].type
    return "category" if name in (data.key, data.label.column) else None


def _key_faults(data: "Data", step: "CleanStep") -> Iterator[Fault]:
    if step.duplicates is not None and step.duplicates.by == "key" and data.key is None:
        yield Fault(
            ("duplicates", "by"),
            "duplicates by key, but data.key is not given",
            "Add `key: <column>` under `data`, or say by: exact.",
        )
