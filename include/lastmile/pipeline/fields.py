"""What the models of the pipeline file expect at a place in it."""

import types
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from lastmile.pipeline.faults import Where


def keys_at(model: type[BaseModel], values: Any, where: Where) -> list[str]:
    """Return the keys that the mapping at this place may have; none where it is no model."""
    annotation, value = _reach(model, values, where)
    found = model_of(annotation, {} if value is None else value)
    return [] if found is None else list(found.model_fields)


def kinds_at(model: type[BaseModel], values: Any, where: Where) -> list[str]:
    """Return the kinds that a mapping at this place may be of."""
    annotation, _ = _reach(model, values, where)
    fields = [m.model_fields["kind"] for m in _alternatives(annotation) if _is_model(m)]
    return [kind for field in fields for kind in get_args(field.annotation)]


def _reach(model: type[BaseModel], values: Any, where: Where) -> tuple[Any, Any]:
    annotation: Any = model
    for step in where:
        holder = model_of(annotation, values)
        annotation = inner(annotation if holder is None else holder, step)
        try:
            values = values[step]
        except (KeyError, IndexError, TypeError):  # a bare name stands for its mapping
            values = {}
    return annotation, values


def model_of(annotation: Any, value: Any) -> type[BaseModel] | None:
    """Return the model that a value at this annotation is meant for: of several kinds, the named one."""
    parts = [part for part in _alternatives(annotation) if part is not types.NoneType]
    models = [part for part in parts if _is_model(part)]
    if len(models) < len(parts) and not isinstance(value, dict):
        return None
    if len(models) > 1 and isinstance(value, dict):
        models.sort(key=lambda model: not _is_of_kind(model, value.get("kind")))
    return models[0] if models else None


def inner(annotation: Any, step: str | int) -> Any:
    """Return the annotation one step further in."""
    if _is_model(annotation):
        field = annotation.model_fields.get(step)
        return field.annotation if field else None
    for part in _alternatives(annotation):
        origin, arguments = get_origin(part), get_args(part)
        if origin is tuple and isinstance(step, int):
            return arguments[0]
        if origin is dict and isinstance(step, str):
            return arguments[1]
    return None


def _is_of_kind(model: type[BaseModel], kind: Any) -> bool:
    """Whether `kind` names the model; no kind names the one that needs none."""
    field = model.model_fields["kind"]
    if kind is None:
        return not field.is_required()
    return get_origin(field.annotation) is Literal and kind in get_args(field.annotation)


def _alternatives(annotation: Any) -> list[Any]:
    origin = get_origin(annotation)
    if origin is Annotated:
        return _alternatives(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return [part for branch in get_args(annotation) for part in _alternatives(branch)]
    return [annotation]


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
