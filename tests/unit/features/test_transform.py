"""The encoding: what training never saw must not meet weights that were never trained."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastmile.features.schema import Column, ColumnKind, Schema
from lastmile.features.steps import FillStep
from lastmile.features.transform import Cleaning, Encoding, Target, Transform

AGE, FEE = Column("age", ColumnKind.NUMBER), Column("fee", ColumnKind.NUMBER)
TOWN = Column("town", ColumnKind.CATEGORY)
SCHEMA = Schema((AGE, FEE, TOWN))


def fitted(*records: tuple[float | None, float, str]) -> Transform:
    cleaning = Cleaning(SCHEMA, (FillStep({"age": 30.0}, flag=True),))
    batch = SCHEMA.parse([dict(zip(SCHEMA.names, record, strict=True)) for record in records])
    return Transform(cleaning, Encoding.fit(cleaning(batch), len(cleaning.flags)))


def test_numbers_are_standardised_and_categories_one_hot() -> None:
    transform = fitted((20.0, 1.0, "Rome"), (40.0, 3.0, "Oslo"), (30.0, 2.0, "Rome"))
    rows = transform([{"age": 40.0, "fee": 2.0, "town": "Oslo"}])
    assert transform.encoding.vocabularies == (("Oslo", "Rome"),)
    assert rows.tolist() == [[pytest.approx(np.sqrt(1.5)), 0.0, 0.0, 1.0, 0.0]]


def test_a_number_that_was_constant_in_training_is_nothing_whatever_it_is_now() -> None:
    transform = fitted((20.0, 5.0, "Rome"), (40.0, 5.0, "Oslo"))
    assert transform.constant_columns == ("fee",)
    for fee in (5.0, 50.0, 1e12, -7.0):
        rows = transform([{"age": 30.0, "fee": fee, "town": "Oslo"}])
        assert rows[0, 1] == 0.0, fee


def test_a_flag_that_never_fired_in_training_is_nothing() -> None:
    transform = fitted((20.0, 1.0, "Rome"), (40.0, 2.0, "Oslo"))
    rows = transform([{"age": None, "fee": 1.0, "town": "Oslo"}])
    assert rows[0, 2] == 0.0


def test_a_flag_that_fired_stays_zero_or_one() -> None:
    transform = fitted((None, 1.0, "Rome"), (40.0, 2.0, "Oslo"))
    rows = transform([{"age": None, "fee": 1.0, "town": "Oslo"},
                      {"age": 30.0, "fee": 1.0, "town": "Oslo"}])  # fmt: skip
    assert rows[:, 2].tolist() == [1.0, 0.0]


def test_an_unknown_category_is_the_average_of_the_known_ones() -> None:
    transform = fitted((20.0, 1.0, "Rome"), (40.0, 3.0, "Oslo"), (30.0, 2.0, "Rome"))
    rows = transform([{"age": 30.0, "fee": 2.0, "town": "Atlantis"}])
    assert rows[0, 3:].tolist() == pytest.approx([1 / 3, 2 / 3])


def test_the_same_rows_one_by_one_and_all_at_once_are_the_same() -> None:
    transform = fitted((20.0, 1.0, "Rome"), (40.0, 3.0, "Oslo"), (None, 2.0, "Bern"))
    records = [{"age": a, "fee": f, "town": t}
               for a in (None, 25.0) for f in (1.0, 9.0) for t in ("Bern", "Rome", "x")]  # fmt: skip
    assert np.vstack([transform([r]) for r in records]).tolist() == transform(records).tolist()


def test_a_transform_comes_back_from_its_file_as_it_was() -> None:
    transform = fitted((20.0, 1.0, "Rome"), (40.0, 3.0, "Oslo"))
    transform = Transform(transform.cleaning, transform.encoding, Target(1.7e9, 60.0))
    again = Transform.from_json(transform.to_json())
    assert again == transform
    assert again.to_json() == transform.to_json()


@pytest.mark.parametrize("part", ["shares", "mean", "vocabularies"])
def test_a_file_that_lacks_a_part_is_refused(part: str) -> None:
    value = json.loads(fitted((20.0, 1.0, "Rome"), (40.0, 3.0, "Oslo")).to_json())
    del value["encoding"][part]
    with pytest.raises(ValueError, match="encoding does not fit"):
        Transform.from_json(json.dumps(value))


@given(st.floats(1e8, 1e12), st.floats(1e-2, 1e3), st.floats(-4, 4))
def test_a_large_target_keeps_its_last_digits(mean: float, scale: float, output: float) -> None:
    said = float(Target(mean, scale)(np.array([[output]], dtype=np.float32))[0, 0])
    assert said == pytest.approx(mean + scale * output, rel=0, abs=scale * 1e-6 + mean * 1e-15)
