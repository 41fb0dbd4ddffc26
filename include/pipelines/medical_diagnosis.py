"""The rows of `medical_diagnosis`: the Wisconsin breast cancer data that ships with scikit-learn."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pandas import DataFrame


def patients() -> "DataFrame":
    """Return 569 patients: 30 measurements of cell nuclei, a key, and the diagnosis as text.

    The data has no patient numbers; its rows have a fixed order, so their position is the key.
    """
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer(as_frame=True)
    names = {name: name.replace(" ", "_") for name in data.feature_names}
    rows: DataFrame = data.data.rename(columns=names)
    rows.insert(0, "patient_id", [f"P{position:03d}" for position in range(1, len(rows) + 1)])
    rows["diagnosis"] = data.target.map(dict(enumerate(data.target_names)))
    return rows
