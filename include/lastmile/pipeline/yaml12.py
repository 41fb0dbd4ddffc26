"""YAML 1.2's core schema: `yes`, `no`, `on`, `off` and dates are texts, as people mean them; 010 is ten.

libyaml does the parsing; its events become values here, in one pass. PyYAML's own constructors read
YAML 1.1, raise whatever Python raises, and follow aliases and nesting to the end of memory and stack.
"""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import yaml

from lastmile.pipeline.faults import Where

Place = tuple[int, int]
"""Line and column, from 1."""

MOST_NESTED = 32
"""Levels; a pipeline file needs six."""
MOST_DIGITS = 40

_CONSTANTS = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_BASES = ((re.compile(r"[-+]?[0-9]+"), 10), (re.compile(r"0x[0-9a-fA-F]+"), 16),
          (re.compile(r"0o[0-7]+"), 8))  # fmt: skip
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")


class Flaw(NamedTuple):
    """Something in the text that is not read."""

    place: Place
    message: str
    hint: str


class NoYamlError(Exception):
    """The text cannot be read to its end."""

    def __init__(self, flaws: list[Flaw]) -> None:
        super().__init__(flaws[-1].message)
        self.flaws = flaws


class Text:
    """The values of a text, where each of them stands, and what could not be read."""

    def __init__(self, text: str, is_spelling: Callable[[Where], bool]) -> None:
        """Read a text.

        Args:
            text: The YAML.
            is_spelling: Whether the value at a place is a text whatever it looks like, as a key is.

        Raises:
            NoYamlError: It is no YAML, or too deep.
        """
        self.places: dict[Where, Place] = {(): (1, 1)}
        self.strings: list[tuple[Where, str]] = []
        self.flaws: list[Flaw] = []
        self.spoilt: set[Where] = set()
        """Places whose value could not be read; nothing more should be said of them."""
        self._is_spelling = is_spelling
        self._source = text
        loader = yaml.CSafeLoader(text)
        self._next: Callable[[], Any] = loader.get_event
        try:
            self.values = self._document()
        except yaml.YAMLError as error:
            raise NoYamlError([*self.flaws, self._flaw_of(error)]) from error
        finally:
            loader.dispose()

    def _document(self) -> Any:
        self._next()  # the stream's start
        if isinstance(self._next(), yaml.StreamEndEvent):
            return None
        values = self._value(self._next(), ())
        self._next()  # the document's end
        if not isinstance(following := self._next(), yaml.StreamEndEvent):
            self.flaws.append(
                Flaw(_place(following), "a second document begins here", "A file holds one.")
            )
        return values

    def _value(self, event: Any, where: Where) -> Any:
        """Return the value that begins with an event."""
        if where not in self.places:  # a key's place is its value's too
            self.places[where] = _place(event)
        if event.anchor is not None:
            self._refuse_anchor(event)
            if isinstance(event, yaml.AliasEvent):
                self.spoilt.add(where)
                return None
        if event.tag is not None:
            self._refuse_tag(event)
            self.spoilt.add(where)
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, where)
        if len(where) >= MOST_NESTED:
            message = f"nested more than {MOST_NESTED} levels deep"
            raise NoYamlError([*self.flaws, Flaw(_place(event), message, "Nothing here needs it.")])
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(where)
        return self._sequence(where)

    def _sequence(self, where: Where) -> tuple[Any, ...]:
        items: list[Any] = []
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            items.append(self._value(event, (*where, len(items))))
        return tuple(items)

    def _mapping(self, where: Where) -> dict[str, Any]:
        values: dict[str, Any] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            if flaw := self._flaw_of_key(event, values):
                self.flaws.append(Flaw(_place(event), *flaw))
                self._skip(event)
                self._skip(self._next())
                continue
            # A key is a text, whatever it looks like: `map: {1: ..., yes: ...}` names spellings.
            place = (*where, event.value)
            self.places[place] = _place(event)
            values[event.value] = self._value(self._next(), place)
        return values

    def _flaw_of_key(self, event: Any, values: dict[str, Any]) -> tuple[str, str] | None:
        if not isinstance(event, yaml.ScalarEvent) or event.tag or event.anchor:
            return "a key is a plain word or a quoted text", ""
        if event.value in values:
            return f"{event.value!r} stands here twice", "Keep one."
        if event.value == "<<" and event.implicit[0]:
            return "`<<` merges nothing: that is YAML 1.1", "Write the keys out."
        return None

    def _skip(self, event: Any) -> None:
        depth = 0
        while True:
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if depth == 0:
                return
            event = self._next()

    def _scalar(self, event: Any, where: Where) -> Any:
        value: Any = event.value
        if event.implicit[0]:  # plain: without quotes
            value = plain_value(value)
            if isinstance(value, (int, float)):
                return self._number(value, event, where)
        if value is not None:
            self.strings.append((where, value))
        return value

    def _number(self, value: float, event: Any, where: Where) -> Any:
        """Return a number, or true or false, which is an int to Python; or its text where that counts."""
        if self._is_spelling(where):
            return event.value
        if len(event.value) > MOST_DIGITS:
            self.flaws.append(
                Flaw(_place(event), "a number with too many digits", "Quote what is a text.")
            )
            self.spoilt.add(where)
            return None
        return value

    def _refuse_anchor(self, event: Any) -> None:
        sign = "*" if isinstance(event, yaml.AliasEvent) else "&"
        self.flaws.append(
            Flaw(_place(event), f"anchors and aliases ({sign}{event.anchor}) are not read",
                 "Write the value out where it is used.")
        )  # fmt: skip

    def _refuse_tag(self, event: Any) -> None:
        tag = event.tag.replace("tag:yaml.org,2002:", "!!")
        self.flaws.append(
            Flaw(_place(event), f"tags ({tag}) are not read",
                 "Take it out: a number is written plainly, a text in quotes.")
        )  # fmt: skip

    def _flaw_of(self, error: yaml.YAMLError) -> Flaw:
        if isinstance(error, yaml.reader.ReaderError):
            # libyaml counts bytes
            before = self._source.encode()[: error.position].decode(errors="replace").split("\n")
            return Flaw(
                (len(before), len(before[-1]) + 1),
                f"not YAML: the character U+{_code(error.character):04X} may not stand here",
                "Take it out.",
            )
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        line, column = (mark.line, mark.column) if mark else (0, 0)
        parts = (getattr(error, "context", None), getattr(error, "problem", None))
        message = ": ".join(part for part in parts if part) or str(error)
        hint = "Look at this line's indent, colons and quotes."
        lines = self._source.splitlines()
        if line < len(lines) and lines[line][:column].endswith("$"):
            hint = 'Put it in quotes: "${NAME}".'
        return Flaw((line + 1, column + 1), f"not YAML: {message}", hint)


def plain_value(text: str) -> Any:
    """Return what a scalar without quotes is in YAML 1.2's core schema."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if text[0] not in "+-.0123456789":
        return text
    if _FLOAT.fullmatch(text) is None:
        return _other_number(text)
    if len(text) > MOST_DIGITS:  # Python refuses to read some thousand digits
        return float(text)
    return int(text) if _BASES[0][0].fullmatch(text) else float(text)


def _other_number(text: str) -> Any:
    for pattern, base in _BASES[1:]:
        if pattern.fullmatch(text):
            return int(text[2:], base)
    return float(text.replace(".", "", 1)) if _NOT_FINITE.fullmatch(text) else text


def _place(event: Any) -> Place:
    mark = event.start_mark
    return mark.line + 1, mark.column + 1


def _code(character: Any) -> int:
    return character if isinstance(character, int) else ord(character[:1])
