"""Which keys the pipeline file knows at a place, for hints."""

import types
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel


def field_names(model: type[BaseModel], where: tuple[str | int, ...]) -> list[str]:
    """Return the keys that a mapping at this place may have; none where it is no model."""
    found: list[Any] = [model]
    for step in where:
        found = [inner for annotation in found for inner in _step_into(annotation, step)]
    return [name for part in found if _is_model(part) for name in part.model_fields]


def _step_into(annotation: Any, step: str | int) -> list[Any]:
    if _is_model(annotation):
        field = annotation.model_fields.get(step)
        return _alternatives(field.annotation) if field else []
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is tuple and isinstance(step, int):
        return _alternatives(arguments[0])
    if origin is dict:
        return _alternatives(arguments[1])
    return []


def _alternatives(annotation: Any) -> list[Any]:
    origin = get_origin(annotation)
    if origin is Annotated:
        return _alternatives(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return [part for branch in get_args(annotation) for part in _alternatives(branch)]
    return [annotation]


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
