"""The classes that a label names, and whether map, classes and task fit each other."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from lastmile.pipeline.faults import Fault, Where, known, within
from lastmile.pipeline.problems import choices, near_match

if TYPE_CHECKING:
    from lastmile.pipeline.data import Label
    from lastmile.pipeline.definition import Pipeline


def class_names(label: "Label") -> tuple[str, ...]:
    """Return the classes that the file names; none where only the data knows them."""
    if label.classes is not None:
        return label.classes
    return tuple(dict.fromkeys(map(class_name, (label.map or {}).values())))


def class_name(value: str | float) -> str:
    """Return how a value of `map` is called: 1.0 is the class 1."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def label_faults(pipeline: "Pipeline") -> Iterator[Fault]:
    """Yield where `map`, `classes` and `task` do not fit each other."""
    where: Where = ("data", "label")
    label = pipeline.data.label
    if pipeline.task == "regression":
        yield from within(where, _number_faults(label))
        return
    yield from within(where, _count_faults(label, pipeline.task))
    yield from within(where, _map_faults(label))


def _number_faults(label: "Label") -> Iterator[Fault]:
    if label.classes is not None:
        hint = "Take it out, or say task: multiclass."
        yield Fault(("classes",), "classes are not for regression", hint)
    for spelling, value in (label.map or {}).items():
        yield from known(_target_faults(spelling, value))


def _target_faults(spelling: str, value: str | float) -> Iterator[Fault]:
    try:
        float(value)
    except ValueError:
        yield Fault(("map", spelling), f"{value!r} is no number, as regression needs")


def _count_faults(label: "Label", task: str) -> Iterator[Fault]:
    names = class_names(label)
    where = ("map",) if label.classes is None else ("classes",)
    for position, name in enumerate(label.classes or ()):
        if name in names[:position]:
            yield Fault(("classes", position), f"the class {name!r} stands here twice")
    if not names:
        return
    if task == "binary" and len(names) != 2:
        hint = "Map to 0 and 1, or set task: multiclass."
        yield Fault(where, f"a binary task has two classes, not {', '.join(map(str, names))}", hint)
    elif len(names) < 2:
        hint = "A model learns from differences: name every class."
        yield Fault(where, f"there is one class only, {names[0]}", hint)


def _map_faults(label: "Label") -> Iterator[Fault]:
    if label.map is None or label.classes is None:
        return
    classes = label.classes
    targets = {spelling: class_name(value) for spelling, value in label.map.items()}
    numbers = [str(number) for number in range(len(classes))]
    names = numbers if set(targets.values()) <= set(numbers) else list(classes)
    for spelling, target in targets.items():
        if target not in names:
            hint = near_match(target, classes) or f"{choices(classes)} Or their numbers from 0."
            yield Fault(("map", spelling), f"map leads to {target!r}, which is no class", hint)
    for position, name in enumerate(names):
        if name not in targets.values():
            hint = f"Map one to {name}, or take the class out."
            yield Fault(
                ("classes", position), f"no spelling leads to the class {classes[position]!r}", hint
            )
