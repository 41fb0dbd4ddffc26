"""The base of every model of the pipeline file and of every document that stages hand on."""

import ast
import inspect
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler, StringConstraints
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
"""Lower-case letters, digits and underscores, so that it serves as a DAG id, a path and a table."""

Model = TypeVar("Model", bound=BaseModel)


class Strict(BaseModel):
    """Frozen; an unknown key is an error; a field's docstring is its description in the schema."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

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


def _attribute_docstrings(model: type[BaseModel]) -> Iterator[tuple[str, str]]:
    """Yield each field with the string that stands below it in the source."""
    definition = ast.parse(inspect.cleandoc("\n" + inspect.getsource(model))).body[0]
    for field, below in pairwise(getattr(definition, "body", [])):
        match field, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(
                value=ast.Constant(value=str(t))
            ):
                yield name, inspect.cleandoc(t)


def exactly_one(*kinds: str) -> Callable[[Model], Model]:
    """Make a validator: exactly one of the named fields is given."""

    def check(model: Model) -> Model:
        given = [kind for kind in kinds if getattr(model, kind) is not None]
        if len(given) != 1:
            raise ValueError(
                f"expected exactly one of {', '.join(kinds)}; got {', '.join(given) or 'none'}"
            )
        return model

    return check
