"""The signature of a trained model."""

from lastmile.artefacts.dataset import Dataset
from lastmile.bundle.signature import Signature, Tensor, TensorType
from lastmile.features.schema import ColumnKind, Schema

TYPES: dict[ColumnKind, TensorType] = {
    ColumnKind.INTEGER: "int64",
    ColumnKind.NUMBER: "float64",
    ColumnKind.BOOLEAN: "bool",
    ColumnKind.CATEGORY: "string",
}


def make_signature(dataset: Dataset, schema: Schema, decision_threshold: float) -> Signature:
    """Name what the model takes, a tensor per column, and what it gives."""
    return Signature(
        name=dataset.pipeline,
        task=dataset.task,
        inputs=tuple(Tensor(c.name, TYPES[c.kind], (-1,)) for c in schema.columns),
        outputs=_outputs(dataset),
        classes=dataset.classes,
        decision_threshold=decision_threshold,
    )


def _outputs(dataset: Dataset) -> tuple[Tensor, ...]:
    label = Tensor("label", "string", (-1,))
    if dataset.classes is None:
        return (Tensor("value", "float64", (-1,)),)
    if dataset.task == "binary":
        return (Tensor("probability", "float64", (-1,)), label)
    return (Tensor("probabilities", "float64", (-1, len(dataset.classes))), label)
