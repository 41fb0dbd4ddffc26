"""From what pydantic finds to words that a reader of the pipeline file knows."""

import re
from collections.abc import Container, Iterable, Iterator
from typing import Any

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from lastmile.pipeline.base import NAME_PATTERN
from lastmile.pipeline.faults import Fault, FaultsError, Where, within
from lastmile.pipeline.fields import keys_at, kinds_at
from lastmile.pipeline.problems import choices, near_match
from lastmile.pipeline.yaml12 import plain_value

EXPECTED = {
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "a number"),
    "string_type": "a text",
    **dict.fromkeys(("bool_type", "bool_parsing"), "true or false"),
    "tuple_type": "a list",
    "dict_type": "keys and values",
    "model_type": "keys and values",
    "model_attributes_type": "keys and values",
}
BOUNDS = {
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "finite_number": "must be a finite number",
    "too_short": "must have at least {min_length} item(s)",
}


class Wording:
    """Pydantic's findings over one file as faults."""

    def __init__(self, model: type[BaseModel], values: Any, places: Container[Where]) -> None:
        """Remember the file.

        Args:
            model: What it should be.
            values: What it holds.
            places: Where something stands in it.
        """
        self._model = model
        self._values = values
        self._places = places
        self.wrong: set[Where] = set()
        """The places whose values are wrong by themselves, whatever stands elsewhere."""

    def describe(self, details: Iterable[ErrorDetails]) -> Iterator[Fault]:
        """Yield the faults, one for each place where a value has a wrong type."""
        expected: dict[Where, list[str]] = {}
        given: dict[Where, Any] = {}
        for detail in details:
            where = self._place(detail)
            if detail["type"] != "value_error":
                self.wrong.add(where)
            if detail["type"] in EXPECTED:
                expected.setdefault(where, []).append(EXPECTED[detail["type"]])
                given[where] = detail["input"]
            else:
                yield from self._describe(detail, where)
        for where, kinds in expected.items():
            yield _wrong_type(where, given[where], list(dict.fromkeys(kinds)))

    def _place(self, detail: ErrorDetails) -> Where:
        # Inside a union pydantic adds the branch's name to the path; the file has no such key.
        where: Where = ()
        for step in detail["loc"]:
            if (*where, step) in self._places:
                where = (*where, step)
        if detail["type"] in ("missing", "extra_forbidden") and where[-1:] != detail["loc"][-1:]:
            return (*where, detail["loc"][-1])  # not there, or short for a mapping
        return where

    def _describe(self, detail: ErrorDetails, where: Where) -> Iterator[Fault]:
        name, value = _named(where), detail["input"]
        match detail["type"]:
            case "value_error":
                yield from _refused(where, detail["ctx"]["error"])
            case "extra_forbidden":
                keys = keys_at(self._model, self._values, where[:-1])
                hint = near_match(str(where[-1]), keys) or choices(keys)
                yield Fault(where, f"{name}: no such key", hint)
            case "missing":
                yield Fault(where, f"{name} is missing", f"Add `{where[-1]}:` here.")
            case "union_tag_not_found":
                kinds = kinds_at(self._model, self._values, where)
                hint = f"Add {' or '.join(f'`kind: {kind}`' for kind in kinds)}."
                yield Fault(where, f"{name} does not say its kind", hint)
            case "literal_error" | "enum" | "union_tag_invalid":
                yield from _not_among(where, value, detail["ctx"])
            case "too_short" if value:
                return  # a list whose items have faults of their own is no shorter for that
            case _:
                yield Fault(where, *_out_of_bounds(name, detail))


def shown(value: Any) -> str:
    """Return a value as it would stand in the file."""
    if isinstance(value, dict):
        return "keys and values"
    if isinstance(value, (list, tuple)):
        return "a list"
    if isinstance(value, bool):
        return str(value).lower()
    return "empty" if value is None else repr(value)


def _refused(where: Where, error: Exception) -> Iterator[Fault]:
    if isinstance(error, FaultsError):
        yield from within(where, iter(error.faults))
    else:
        yield Fault(where, f"{_named(where)}: {error}")


def _out_of_bounds(name: str, detail: ErrorDetails) -> tuple[str, str]:
    context: dict[str, Any] = detail.get("ctx", {})
    value = detail["input"]
    if context.get("pattern") == NAME_PATTERN:
        hint = "Up to 63 lower-case letters, digits and _, a letter first."
        return f"{name} is {shown(value)}, which is no name", hint
    about = name if isinstance(value, (dict, list, tuple)) else f"{name} is {shown(value)}; it"
    if (bound := BOUNDS.get(detail["type"])) is not None:
        limits = {key: _short(limit) for key, limit in context.items()}
        return f"{about} {bound.format(**limits)}", ""
    return f"{about} {detail['msg'].replace('Input should', 'should')}", ""


def _short(limit: Any) -> Any:
    return int(limit) if isinstance(limit, float) and limit.is_integer() else limit


def _not_among(where: Where, value: Any, context: dict[str, Any]) -> Iterator[Fault]:
    allowed = _quoted(str(context.get("expected", context.get("expected_tags"))))
    if isinstance(value, dict):
        where, value = (*where, "kind"), value.get("kind")
    hint = near_match(str(value), allowed) or choices(allowed)
    yield Fault(where, f"{_named(where)} is {shown(value)}", hint)


def _wrong_type(where: Where, value: Any, kinds: list[str]) -> Fault:
    expected = " or ".join(kinds)
    return Fault(
        where, f"{_named(where)} is {shown(value)}, not {expected}", _hint(where, value, kinds)
    )


def _hint(where: Where, value: Any, kinds: list[str]) -> str:
    if isinstance(value, str):
        if "${" in value:
            return "`${...}` may stand in texts only; write the value itself here."
        meant = plain_value(value)
        if "true or false" in kinds:
            return "Write true or false."
        if isinstance(meant, (int, float)) and not isinstance(meant, bool):
            return "Take the quotes off."
    if kinds == ["a list"] and not isinstance(value, dict) and value is not None:
        return f"Write a list: [{value}]."
    if kinds == ["a text"] and isinstance(value, (bool, int, float)):
        return f'Put it in quotes: "{str(value).lower()}".'
    if kinds == ["a whole number"] and isinstance(value, float) and value.is_integer():
        return f"Write {value:.0f}."
    return ""


def _named(where: Where) -> str:
    return ".".join(str(step) for step in where) or "the file"


def _quoted(text: str) -> list[str]:
    return re.findall(r"'([^']*)'", text)
