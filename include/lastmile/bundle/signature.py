"""What a model takes and gives, by name, type and shape."""

import json
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

from lastmile.features.schema import ColumnKind, Schema

FORMAT = 1

Task = Literal["binary", "multiclass", "regression"]
TensorType = Literal["float64", "int64", "bool", "string"]

_TYPES: dict[ColumnKind, TensorType] = {
    ColumnKind.INTEGER: "int64",
    ColumnKind.NUMBER: "float64",
    ColumnKind.BOOLEAN: "bool",
    ColumnKind.CATEGORY: "string",
}


@dataclass(frozen=True, slots=True)
class Tensor:
    """A named input or output. -1 in the shape is the number of records."""

    name: str
    type: TensorType
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Signature:
    """`signature.json`.

    Outputs are, for a binary task, `probability` (of class 1) and `label`; for a multiclass task
    `probabilities` (one per class) and `label`; for a regression `value`.
    """

    name: str
    """The pipeline's."""
    task: Task
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    classes: tuple[str, ...] | None
    decision_threshold: float
    """Binary: from this probability on the label is class 1."""

    @classmethod
    def of(
        cls,
        name: str,
        task: Task,
        schema: Schema,
        classes: tuple[str, ...] | None = None,
        decision_threshold: float = 0.5,
    ) -> Self:
        """Return the signature of a model of such a task over such columns."""
        inputs = tuple(Tensor(c.name, _TYPES[c.kind], (-1,)) for c in schema.columns)
        outputs: tuple[Tensor, ...] = (Tensor("value", "float64", (-1,)),)
        if task == "binary":
            outputs = (Tensor("label", "string", (-1,)), Tensor("probability", "float64", (-1,)))
        elif task == "multiclass":
            shape = (-1, len(classes or ()))
            outputs = (Tensor("label", "string", (-1,)), Tensor("probabilities", "float64", shape))
        return cls(name, task, inputs, outputs, classes, decision_threshold)

    @property
    def width(self) -> int:
        """How many outputs the model itself has per record: one, or one per class."""
        return len(self.classes or ()) if self.task == "multiclass" else 1

    def to_json(self) -> str:
        """Return the file's text."""
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=1)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Read a signature back.

        Raises:
            ValueError: The text is no signature of a known format.
        """
        value: Any = json.loads(text)
        if not isinstance(value, dict) or value.pop("format", None) != FORMAT:
            raise ValueError(f"not a signature of format {FORMAT}")
        try:
            for side in ("inputs", "outputs"):
                value[side] = tuple(
                    Tensor(t["name"], t["type"], tuple(t["shape"])) for t in value[side]
                )
            if value["classes"] is not None:
                value["classes"] = tuple(value["classes"])
            return cls(**value)
        except (KeyError, TypeError) as error:
            raise ValueError(f"the signature's fields do not fit: {error!r}") from error
