"""As much of a model as a file with faults gives, so that checks over several keys still run.

A field whose value is wrong has none here: asking for it raises `NotKnownError`, and the check that asked
ends (`lastmile.pipeline.faults.known`). Nor is a field known that is not given beside a key that does not
exist: that key, misspelt, may be it.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

from pydantic import BaseModel, ValidationError

from lastmile.pipeline.base import Checkable, Strict
from lastmile.pipeline.faults import Fault, NotKnownError, Where, within
from lastmile.pipeline.fields import inner, model_of


class Partial:
    """Makes the models of one file."""

    def __init__(self, wrong: set[Where]) -> None:
        """Remember the places whose values are wrong."""
        self._wrong = wrong

    def make(self, model: type[BaseModel], values: dict[str, Any], where: Where = ()) -> Any:
        """Return a model of these values, without what is not known."""
        given = {
            name: self._value(field.annotation, values[name], (*where, name))
            for name, field in model.model_fields.items()
            if name in values and (*where, name) not in self._wrong
        }
        made = model.model_construct(_fields_set=set(given), **given)
        is_misspelt = any(name not in model.model_fields for name in values)
        for name in model.model_fields:
            if name not in given and (is_misspelt or name in values):
                made.__dict__.pop(name, None)  # the default that `model_construct` set
        return made

    def _value(self, annotation: Any, value: Any, where: Where) -> Any:
        model = model_of(annotation, value)
        if model is not None and (value is not None or where in self._wrong):
            return self._part(model, value, where)
        if where in self._wrong:
            return NOTHING
        if isinstance(value, dict):
            return {
                key: self._value(inner(annotation, key), item, (*where, key))
                for key, item in value.items()
            }
        if isinstance(value, tuple):
            return tuple(
                self._value(inner(annotation, index), item, (*where, index))
                for index, item in enumerate(value)
            )
        return value

    def _part(self, model: type[BaseModel], value: Any, where: Where) -> Any:
        if where not in self._wrong:
            if isinstance(value, dict):
                return self.make(model, value, where)
            with suppress(ValidationError):  # a bare name that stands for a mapping
                return model.model_validate(value, strict=True)
        made = model.model_construct()
        made.__dict__.clear()
        return made


class _Nothing:
    """Stands for a wrong value among others: whoever looks at it learns that it is not known."""

    def _is_not_known(self, *_: object) -> Any:
        raise NotKnownError

    __getattr__ = _is_not_known
    __eq__ = __lt__ = __le__ = __gt__ = __ge__ = _is_not_known
    __hash__ = __str__ = __float__ = __bool__ = __len__ = __iter__ = _is_not_known


NOTHING = _Nothing()


def own_faults(part: object, where: Where = ()) -> Iterator[Fault]:
    """Yield what each model within a partial one finds wrong with itself."""
    inside: Iterable[tuple[str | int, object]] = ()
    if isinstance(part, Strict):
        if isinstance(part, Checkable):
            yield from within(where, part.faults())
        inside = part.__dict__.items()
    elif isinstance(part, dict):
        inside = part.items()
    elif isinstance(part, tuple):
        inside = enumerate(part)
    for step, value in inside:
        yield from own_faults(value, (*where, step))
