"""The base of every model of the pipeline file and of every document that stages hand on."""

import ast
import inspect
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    WithJsonSchema,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from lastmile.pipeline.faults import Fault, NotKnownError, refuse

NAME_PATTERN = r"^[a-z][a-z0-9_]{0,62}$"
Name = Annotated[str, Field(pattern=NAME_PATTERN)]
"""Lower-case letters, digits and underscores, so that it serves as a DAG id, a path and a table."""

Spelling = Annotated[str, WithJsonSchema({"type": ["string", "number", "boolean"]})]
"""A text as it stands in the data: `allowed: [1, 007]` are texts, quoted or not."""

Model = TypeVar("Model", bound=BaseModel)
Self = TypeVar("Self", bound="SelfChecking")


class Strict(BaseModel):
    """Frozen; an unknown key is an error; a field's docstring is its description in the schema."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    if not TYPE_CHECKING:  # else every name would be an attribute of every model

        def __getattr__(self, name: str) -> Any:
            """Say of a field that has no value (`lastmile.pipeline.partial`) that it is not known."""
            if name in type(self).model_fields:
                raise NotKnownError(name)
            return super().__getattr__(name)

    # `use_attribute_docstrings` would read every model's source at import: 0.2 s of each DAG parse.
    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        schema = handler(core_schema)
        fields = handler.resolve_ref_schema(schema).get("properties", {})
        for base in cls.__mro__:
            if base is not Strict and issubclass(base, Strict):
                for name, text in _attribute_docstrings(base):
                    if name in fields:
                        fields[name].setdefault("description", text)
        return schema


class Checkable(Strict):
    """A part of the pipeline file whose keys depend on each other."""

    def faults(self) -> Iterator[Fault]:
        """Yield what is wrong with it although each key is right."""
        yield from ()


class SelfChecking(Checkable):
    """One that cannot be made with faults."""

    @model_validator(mode="after")
    def _has_no_faults(self: Self) -> Self:
        refuse(self.faults())
        return self


def _attribute_docstrings(model: type[BaseModel]) -> Iterator[tuple[str, str]]:
    """Yield each field with the string that stands below it in the source."""
    definition = ast.parse(inspect.cleandoc("\n" + inspect.getsource(model))).body[0]
    for field, below in pairwise(getattr(definition, "body", [])):
        match field, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(
                value=ast.Constant(value=str(t))
            ):
                yield name, inspect.cleandoc(t)


def exactly_one(model: BaseModel, *kinds: str) -> Iterator[Fault]:
    """Yield a fault where not exactly one of the named fields is given."""
    given = [kind for kind in kinds if getattr(model, kind) is not None]
    if len(given) == 1:
        return
    expected = f"expected exactly one of {', '.join(kinds)}"
    if given:
        yield Fault((), f"{expected}; got {', '.join(given)}", "Keep one of them.")
    else:
        yield Fault((), f"{expected}; got none", f"Add one, as in `{kinds[0]}: {{...}}`.")


def kind_by_default(kind: str) -> Callable[[Any], Any]:
    """Make a validator: settings that name no kind are of this one."""

    def name_kind(value: Any) -> Any:
        return {"kind": kind, **value} if isinstance(value, dict) else value

    return name_kind
