"""From a pipeline file to a `Pipeline`, and from every fault in it to file, line and column."""

import difflib
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from lastmile.errors import PipelineFileError
from lastmile.pipeline.base import Model, Strict
from lastmile.pipeline.definition import Pipeline
from lastmile.pipeline.fields import field_names
from lastmile.settings import Settings

REFERENCE = re.compile(r"\$\{([^}]*)\}")

Path_ = tuple[str | int, ...]
"""Where in the file something stands: keys and list positions from the top."""


class Problem(Strict):
    """One fault of a pipeline file. Lines and columns count from 1."""

    file: str
    line: int
    column: int
    message: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.message}"


class InvalidPipelineError(PipelineFileError):
    """A pipeline file with its faults, all of them."""

    def __init__(self, problems: list[Problem]) -> None:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        super().__init__(f"{problems[0]}{more}", problems[0].hint)
        self.problems = problems


def pipeline_files(settings: Settings) -> list[Path]:
    """Return the pipeline files, sorted by name."""
    return sorted(settings.pipelines_path.glob("*.yaml"))


def find_pipeline(name_or_path: str, settings: Settings) -> Path:
    """Return the file of a pipeline that is named, or given by its path.

    Raises:
        PipelineFileError: There is no such pipeline; the hint names the nearest.
    """
    if name_or_path.endswith((".yaml", ".yml")):
        return Path(name_or_path)
    path = settings.pipelines_path / f"{name_or_path}.yaml"
    if path.is_file():
        return path
    names = [file.stem for file in pipeline_files(settings)]
    raise PipelineFileError(
        f"There is no pipeline {name_or_path!r} in {settings.pipelines_path}.",
        _near(name_or_path, names) or "Set LASTMILE_ROOT to the checkout, or name the file.",
    )


def load_pipeline(name_or_path: str, settings: Settings) -> Pipeline:
    """Read a pipeline and fill in its environment references.

    Raises:
        PipelineFileError: No such file, or faults in it.
    """
    return _read(find_pipeline(name_or_path, settings), os.environ)


def read_pipeline(path: Path) -> Pipeline:
    """Read a pipeline as it stands, references and all. For whoever only wires it.

    Raises:
        InvalidPipelineError: The file has faults.
    """
    return _read(path, None)


def _read(path: Path, environment: Mapping[str, str] | None) -> Pipeline:
    document = Document(path)
    if environment is not None:
        document.fill_in(environment)
    pipeline = document.validate(Pipeline)
    problems = [
        document.problem(where, message, hint) for where, message, hint in cross_check(pipeline)
    ]
    if pipeline.name != path.stem:
        problems.append(
            document.problem(
                ("name",),
                f"name is {pipeline.name!r}, the file is called {path.name!r}",
                f"Rename the file to {pipeline.name}.yaml, or the pipeline to {path.stem}.",
            )
        )
    if problems:
        raise InvalidPipelineError(problems)
    return pipeline


class _Loader(yaml.CSafeLoader):
    """YAML 1.2's idea of a scalar: `yes`, `no`, `on`, `off` and dates are texts, as people mean them."""


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("null", r"^(?:null|Null|NULL|~|)$", ["n", "N", "~", ""]),
    ("int", r"^[-+]?[0-9][0-9_]*$", "-+0123456789"),
    ("float", r"^[-+]?(?:[0-9][0-9_]*)?\.?[0-9]+(?:[eE][-+]?[0-9]+)?$", "-+.0123456789"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), list(_first))


class Document:
    """A file's values, and where each of them stands."""

    def __init__(self, path: Path) -> None:
        """Read a file.

        Raises:
            PipelineFileError: It is not there, is no text, or no YAML.
        """
        self._path = path
        self._places: dict[Path_, tuple[int, int]] = {(): (1, 1)}
        self._problems: list[Problem] = []
        self._strings: list[tuple[Path_, str]] = []
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise PipelineFileError(
                f"There is no file {path}.", "`lastmile check` lists the pipelines."
            ) from None
        except (OSError, UnicodeDecodeError) as error:
            raise PipelineFileError(
                f"{path} cannot be read: {error}", "A pipeline file is text in UTF-8."
            ) from error
        self.values = self._parse(text)

    def _parse(self, text: str) -> Any:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            values = None if node is None else self._construct(loader, node, ())
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
            message = ": ".join(part for part in (error.context, error.problem) if part)
            raise InvalidPipelineError(
                [
                    self._at(
                        (line, column),
                        f"not YAML: {message}",
                        "Look at this line's indent, colons and quotes.",
                    )
                ]
            ) from error
        except yaml.YAMLError as error:
            raise InvalidPipelineError([self._at((1, 1), f"not YAML: {error}", "")]) from error
        finally:
            loader.dispose()
        if not isinstance(values, dict):
            raise InvalidPipelineError(
                [self._at((1, 1), "expected keys and values, such as `name: credit_risk`", "")]
            )
        return values

    def _construct(self, loader: _Loader, node: yaml.Node, where: Path_) -> Any:
        self._places.setdefault(where, (node.start_mark.line + 1, node.start_mark.column + 1))
        if isinstance(node, yaml.MappingNode):
            return self._construct_mapping(loader, node, where)
        if isinstance(node, yaml.SequenceNode):
            return [
                self._construct(loader, item, (*where, index))
                for index, item in enumerate(node.value)
            ]
        value = loader.construct_object(node)
        if isinstance(value, str):
            self._strings.append((where, value))
        return value

    def _construct_mapping(
        self, loader: _Loader, node: yaml.MappingNode, where: Path_
    ) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            # A key is a text, whatever it looks like: `map: {1: ..., yes: ...}` names spellings.
            key = str(key_node.value)
            place = (key_node.start_mark.line + 1, key_node.start_mark.column + 1)
            if key in values:
                self._problems.append(self._at(place, f"{key!r} stands here twice", "Keep one."))
            self._places[(*where, key)] = place
            values[key] = self._construct(loader, value_node, (*where, key))
        return values

    def fill_in(self, environment: Mapping[str, str]) -> None:
        """Put values in the place of `${NAME}`."""
        declared = self.values.get("environment")
        declared = declared if isinstance(declared, dict) else {}

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

        for where, text in self._strings:
            if where[0] != "environment" and "${" in text:
                holder = self.values
                for step in where[:-1]:
                    holder = holder[step]
                holder[where[-1]] = REFERENCE.sub(value_of, text)

    def validate(self, model: type[Model]) -> Model:
        """Return the values as a model.

        Raises:
            InvalidPipelineError: With every fault there is.
        """
        self._problems.extend(self._undeclared_references())
        try:
            validated = model.model_validate(self.values)
        except ValidationError as error:
            self._problems.extend(
                self._from_pydantic(detail, model)
                for detail in error.errors()
                # A list whose items have faults of their own is no shorter for that.
                if not (detail["type"] == "too_short" and detail["input"])
            )
        if self._problems:
            unique = {str(p): p for p in sorted(self._problems, key=lambda p: (p.line, p.column))}
            raise InvalidPipelineError(list(unique.values()))
        return validated

    def problem(self, where: Path_, message: str, hint: str) -> Problem:
        """Make a problem at a place in the file, or at the nearest place around it that is there."""
        known = tuple(where)
        while known not in self._places:
            known = known[:-1]
        return self._at(self._places[known], message, hint)

    def _at(self, place: tuple[int, int], message: str, hint: str) -> Problem:
        return Problem(
            file=str(self._path), line=place[0], column=place[1], message=message, hint=hint
        )

    def _undeclared_references(self) -> Iterator[Problem]:
        declared = self.values.get("environment")
        names = set(declared) if isinstance(declared, dict) else set()
        for where, text in self._strings:
            for name in REFERENCE.findall(text):
                if name not in names:
                    yield self.problem(
                        where,
                        f"${{{name}}} is not declared",
                        _near(name, names)
                        or f"Add it at the top: `environment: {{{name}: null}}`.",
                    )

    def _from_pydantic(self, detail: ErrorDetails, model: type[BaseModel]) -> Problem:
        # Inside a union pydantic adds the branch's name to the path; the file has no such key.
        where: Path_ = ()
        for step in detail["loc"]:
            if (*where, step) in self._places or step == detail["loc"][-1]:
                where = (*where, step)
        return self.problem(where, *_describe(detail, where, model))


def _describe(detail: ErrorDetails, where: Path_, model: type[BaseModel]) -> tuple[str, str]:
    """Return what is wrong, and a hint."""
    name = ".".join(str(step) for step in where) or "the file"
    given = detail["input"]
    match detail["type"]:
        case "extra_forbidden":
            known = field_names(model, where[:-1])
            return f"{name}: no such key", _near(str(where[-1]), known) or _choices(known)
        case "missing":
            return f"{name} is missing", f"Add `{where[-1]}:` here."
        case "literal_error" | "union_tag_invalid":
            context = detail.get("ctx", {})
            allowed = re.findall(
                r"'([^']*)'", str(context.get("expected", context.get("expected_tags")))
            )
            value = given.get("kind") if isinstance(given, dict) else given
            return f"{name} is {value!r}", _near(str(value), allowed) or _choices(allowed)
        case "value_error":
            message = str(detail.get("ctx", {}).get("error", detail["msg"]))
            return (message if not where else f"{name}: {message}"), ""
    shown = "" if isinstance(given, (dict, list)) else f" is {given!r}"
    return f"{name}{shown}: {detail['msg'][0].lower()}{detail['msg'][1:]}", ""


def cross_check(pipeline: Pipeline) -> Iterator[tuple[Path_, str, str]]:
    """Yield what no single key can know: steps, split and weights that name columns or classes."""
    data = pipeline.data
    if data.columns:
        known = {*data.columns, data.label.column} | ({data.key} if data.key else set())
        for where, name in _named_columns(pipeline):
            if name not in known:
                yield (
                    where,
                    f"there is no column {name!r} in data.columns",
                    _near(name, known)
                    or "Add it there; with `feature: false` the model does not read it.",
                )
    if data.key is None:
        for index, step in enumerate(data.clean):
            if step.duplicates is not None and step.duplicates.by == "key":
                yield ("data", "clean", index), "duplicates by key, but data.key is not given", ""


def _named_columns(pipeline: Pipeline) -> Iterator[tuple[Path_, str]]:
    data = pipeline.data
    for index, step in enumerate(data.clean):
        base: Path_ = ("data", "clean", index, step.kind)
        for position, name in enumerate(getattr(step.settings, "columns", ())):
            yield (*base, "columns", position), name
        for key in ("order_by", "group"):
            if name := getattr(step.settings, key, None):
                yield (*base, key), name
    if data.split.column:
        yield ("data", "split", "column"), data.split.column


def _near(word: str, known: Any) -> str:
    close = difflib.get_close_matches(word, [str(name) for name in known], n=1, cutoff=0.6)
    return f"Did you mean {close[0]!r}?" if close else ""


def _choices(allowed: Any) -> str:
    names = [str(name) for name in allowed]
    return f"Allowed: {', '.join(names)}." if names else ""
