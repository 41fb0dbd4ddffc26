"""A file's values, where each of them stands, and every fault there is."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from lastmile.errors import PipelineFileError
from lastmile.pipeline.base import Model
from lastmile.pipeline.faults import Fault, Where
from lastmile.pipeline.partial import Partial, own_faults
from lastmile.pipeline.problems import InvalidPipelineError, Problem, near_match
from lastmile.pipeline.wording import Wording
from lastmile.pipeline.yaml12 import NoYamlError, Place, Text

REFERENCE = re.compile(r"\$\{([^}]*)\}")
MOST_BYTES = 256 * 1024
"""A contract of a thousand columns takes a quarter of it."""

SPELLINGS = ("allowed", "classes")
"""Lists of texts as they stand in the data, quoted or not: a code 007 is no number."""


class Document:
    """A file's values, and where each of them stands."""

    def __init__(self, path: Path) -> None:
        """Read a file.

        Raises:
            InvalidPipelineError: It is no text, no YAML, or holds no keys and values.
            PipelineFileError: It is not there, or cannot be read.
        """
        self._path = path
        try:
            self._text = Text(self._read(), _is_spelling)
        except NoYamlError as error:
            raise InvalidPipelineError([self._at(*flaw) for flaw in error.flaws]) from error
        self._problems = [self._at(*flaw) for flaw in self._text.flaws]
        if not isinstance(self._text.values, dict):
            problem = self._at((1, 1), "expected keys and values, such as `name: credit_risk`", "")
            raise InvalidPipelineError([*self._problems, problem])
        self.values: Any = self._text.values

    @property
    def holds_references(self) -> bool:
        """Whether a text refers to the environment."""
        return any("${" in text for _, text in self._text.strings)

    def fill_in(self, environment: Mapping[str, str]) -> None:
        """Put values in the place of `${NAME}`."""
        declared = self._declared()

        def value_of(match: re.Match[str]) -> str:
            name = match[1]
            value = environment.get(name, declared.get(name))
            if value is None and name in declared:
                self._problems.append(
                    self.problem(
                        ("environment", name),
                        f"{name} is not set",
                        f"Set the environment variable {name}, or give it a default here.",
                    )
                )
            return match[0] if value is None else str(value)

        def filled(value: Any) -> Any:
            if isinstance(value, str):
                return REFERENCE.sub(value_of, value) if "${" in value else value
            if isinstance(value, dict):
                return {key: filled(item) for key, item in value.items()}
            return tuple(map(filled, value)) if isinstance(value, tuple) else value

        self.values = {
            key: value if key == "environment" else filled(value)
            for key, value in self.values.items()
        }

    def validate(
        self,
        model: type[Model],
        check: Callable[[Model], Iterable[Fault]] = lambda _: (),
        *,
        strict: bool = False,
    ) -> Model:
        """Return the values as a model.

        Args:
            model: The model.
            strict: Whether true is no number, and "7" none either.
            check: Yields what the model itself cannot know; for a file with faults it gets as much of
                the model as there is (`lastmile.pipeline.partial`).

        Raises:
            InvalidPipelineError: With every fault there is.
        """
        faults = list(self._reference_faults())
        try:
            made = model.model_validate(self.values, strict=strict)
        except ValidationError as error:
            wording = Wording(model, self.values, self._text.places)
            faults += wording.describe(error.errors())
            made = Partial(wording.wrong | self._text.spoilt).make(model, self.values)
            faults += own_faults(made)
        faults += check(made)
        self._refuse(faults)
        return made

    def problem(self, where: Where, message: str, hint: str) -> Problem:
        """Make a problem at a place in the file, or at the nearest place around it that is there."""
        known = tuple(where)
        while known not in self._text.places:
            known = known[:-1]
        return self._at(self._text.places[known], message, hint)

    def _refuse(self, faults: list[Fault]) -> None:
        spoilt = self._text.spoilt
        problems = [self.problem(*fault) for fault in faults if fault.where not in spoilt]
        problems += self._problems
        if problems:
            problems.sort(key=lambda problem: (problem.line, problem.column))
            raise InvalidPipelineError(list({str(p): p for p in problems}.values()))

    def _read(self) -> str:
        try:
            with self._path.open("rb") as file:
                content = file.read(MOST_BYTES + 1)
        except FileNotFoundError:
            raise PipelineFileError(
                f"There is no file {self._path}.", "`lastmile check` lists the pipelines."
            ) from None
        except OSError as error:
            raise PipelineFileError(
                f"{self._path} cannot be read: {error.strerror}", "See its rights and its kind."
            ) from error
        if len(content) > MOST_BYTES:
            message = f"larger than {MOST_BYTES // 1024} KB"
            raise InvalidPipelineError([self._at((1, 1), message, "Data belongs in the sources.")])
        try:
            return content.decode("utf-8")
        except UnicodeDecodeError as error:
            before = content[: error.start].decode("utf-8").split("\n")
            problem = self._at(
                (len(before), len(before[-1]) + 1),
                f"cannot be read as UTF-8: byte 0x{content[error.start]:02x}",
                "Save the file as UTF-8.",
            )
            raise InvalidPipelineError([problem]) from error

    def _at(self, place: Place, message: str, hint: str) -> Problem:
        return Problem(
            file=str(self._path), line=place[0], column=place[1], message=message, hint=hint
        )

    def _declared(self) -> dict[str, Any]:
        declared = self.values.get("environment")
        return declared if isinstance(declared, dict) else {}

    def _reference_faults(self) -> Iterator[Fault]:
        declared = self._declared()
        for where, text in self._text.strings:
            if "${" not in text:
                continue
            if where[0] == "environment":
                hint = "Write it out: a default is taken as it stands."
                yield Fault(where, "a default cannot refer to another variable", hint)
                continue
            for name in REFERENCE.findall(text):
                if name not in declared:
                    hint = near_match(name, declared)
                    hint = hint or f"Add it at the top: `environment: {{{name}: null}}`."
                    yield Fault(where, f"${{{name}}} is not declared", hint)


def _is_spelling(where: Where) -> bool:
    if len(where) < 2:
        return False
    return where[-2] in SPELLINGS if isinstance(where[-1], int) else where[0] == "environment"
