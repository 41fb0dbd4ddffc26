import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lastmile.errors import DataError
from lastmile.features.steps import FillStep
from lastmile.pipeline.train import Train
from lastmile.train.examples import Prepared, prepare_examples
from unit.train.datasets import two_moons, write_arrays

ROWS = 60
NUMBERS = [float(i) for i in range(ROWS)]
LABELS = [float(i % 3 == 0) for i in range(ROWS)]


def prepare(folder: Path, columns: dict[str, Any], labels: list[float], **parts: Any) -> Prepared:
    train = Train.model_validate(parts.pop("train", {}))
    write_arrays(folder, columns, labels, **parts)
    return prepare_examples(folder, train)


def test_rows_are_encoded_with_what_the_training_split_says(tmp_path: Path) -> None:
    prepared = prepare(tmp_path, *two_moons())
    assert prepared.train.features.dtype == np.float32
    assert prepared.train.features.shape == (420, 4)
    assert len(prepared.validation) == 90
    np.testing.assert_allclose(prepared.train.features[:, :2].mean(axis=0), 0, atol=1e-6)
    assert set(prepared.train.labels[:, 0]) == {0.0, 1.0}


@pytest.mark.parametrize(
    ("column", "values", "hint"),
    [
        (
            "income",
            [None if i == 20 else 1.0 * i for i in range(ROWS)],
            "columns: [income], by: median",
        ),
        ("town", [None if i == 20 else "Rome" for i in range(ROWS)], "columns: [town], by: mode"),
    ],
)
def test_a_value_still_missing_after_cleaning_names_the_column_and_the_step(
    tmp_path: Path, column: str, values: list[Any], hint: str
) -> None:
    with pytest.raises(DataError) as caught:
        prepare(tmp_path, {"age": NUMBERS, column: values}, LABELS)
    assert f"Column {column!r} has 1 missing values in the train split" in caught.value.headline
    assert hint in caught.value.hint


def test_a_value_missing_in_validation_alone_is_found_too(tmp_path: Path) -> None:
    values = [math.nan if i == 15 else 1.0 * i for i in range(ROWS)]
    with pytest.raises(DataError, match="'age' has 1 missing values in the validation split"):
        prepare(tmp_path, {"age": values}, LABELS)


def test_a_fitted_step_fills_what_is_missing(tmp_path: Path) -> None:
    values = [None if i % 7 == 0 else 1.0 * i for i in range(ROWS)]
    steps = (FillStep({"age": 30.0}, flag=True),)
    prepared = prepare(tmp_path, {"age": values}, LABELS, steps=steps)
    assert prepared.train.features.shape[1] == 2
    assert np.isfinite(prepared.train.features).all()


def test_balanced_makes_each_class_count_as_much_as_any_other(tmp_path: Path) -> None:
    prepared = prepare(tmp_path, {"age": NUMBERS}, LABELS, train={"class_weights": "balanced"})
    labels, weights = prepared.train.labels[:, 0], prepared.train.weights
    assert weights[labels == 1].sum() == pytest.approx(weights[labels == 0].sum())
    assert weights.mean() == pytest.approx(1.0)
    assert set(prepared.validation.weights) == {1.0}


def test_weights_go_by_the_names_of_the_classes(tmp_path: Path) -> None:
    prepared = prepare(tmp_path, {"age": NUMBERS}, LABELS, train={"class_weights": {"yes": 3}})
    labels, weights = prepared.train.labels[:, 0], prepared.train.weights
    assert set(weights[labels == 1]) == {3.0}
    assert set(weights[labels == 0]) == {1.0}


def test_a_weight_for_no_class_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="class_weights names yess, which is no class") as caught:
        prepare(tmp_path, {"age": NUMBERS}, LABELS, train={"class_weights": {"yess": 3}})
    assert "no, yes" in caught.value.hint


def test_one_class_alone_is_nothing_to_learn(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="All 42 rows of the training split are of class 'yes'"):
        prepare(tmp_path, {"age": NUMBERS}, [1.0] * ROWS)


def test_a_target_is_standardised_by_the_training_split(tmp_path: Path) -> None:
    labels = [1000.0 + 10 * i for i in range(ROWS)]
    prepared = prepare(tmp_path, {"age": NUMBERS}, labels, task="regression")
    assert prepared.train.labels.mean() == pytest.approx(0, abs=1e-6)
    assert prepared.train.labels.std() == pytest.approx(1)
    first = labels[14]  # the first row of validation
    target = prepared.transform.target
    expected = (first - target.mean) / target.scale
    assert prepared.validation.labels[0, 0] == pytest.approx(expected)


def test_a_target_that_never_changes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="The target is 5 in all 42 rows"):
        prepare(tmp_path, {"age": NUMBERS}, [5.0] * ROWS, task="regression")


def test_an_empty_split_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="The validation split has no rows"):
        prepare(tmp_path, {"age": NUMBERS[:10]}, LABELS[:10])


def test_a_label_that_is_no_number_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="1 rows without a finite label"):
        prepare(tmp_path, {"age": NUMBERS}, [*LABELS[:5], math.inf, *LABELS[6:]])


def test_a_dataset_without_columns_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no column that a model could read"):
        prepare(tmp_path, {}, LABELS)
