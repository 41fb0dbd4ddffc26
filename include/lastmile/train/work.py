"""The work folder: what the supervisor gives to the gang's workers, and where they leave the bundle.

work.json                      the task, the settings, where checkpoints go
train.npz, validation.npz      encoded rows, no pickle
bundle/                        transform.json and signature.json; worker 0 adds the model
"""

from pathlib import Path
from typing import Literal

import numpy as np

from lastmile.pipeline.base import Strict
from lastmile.pipeline.train import Train
from lastmile.train.examples import Examples

BUNDLE = "bundle"
TRAINING = "training.json"


class Work(Strict):
    """`work.json`."""

    pipeline: str
    task: Literal["binary", "multiclass", "regression"]
    train: Train
    width: int
    """Values per record."""
    outputs: int
    """Outputs of the model."""
    store_url: str
    cache: Path
    checkpoints: str
    """The folder of the store that checkpoints go to."""
    checkpoint_seconds: float
    barrier_seconds: float

    @classmethod
    def read(cls, folder: Path) -> "Work":
        """Read a work folder's document."""
        return cls.model_validate_json((folder / "work.json").read_bytes())

    def write(self, folder: Path, train: Examples, validation: Examples) -> None:
        """Fill a work folder."""
        (folder / BUNDLE).mkdir()
        (folder / "work.json").write_text(self.model_dump_json(indent=1))
        for name, examples in (("train", train), ("validation", validation)):
            np.savez(
                folder / f"{name}.npz",
                features=examples.features,
                labels=examples.labels,
                weights=examples.weights,
            )


def read_examples(folder: Path, name: Literal["train", "validation"]) -> Examples:
    """Read a split from a work folder."""
    with np.load(folder / f"{name}.npz", allow_pickle=False) as arrays:
        return Examples(arrays["features"], arrays["labels"], arrays["weights"])
