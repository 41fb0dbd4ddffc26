"""The whole cleaning over frames of a few hundred rows."""

import numpy as np
import pandas as pd
import pytest

from lastmile.artefacts.dataset import LABEL
from lastmile.errors import DataError, PipelineFileError
from lastmile.features.transform import cleaning_from_json, cleaning_to_json
from lastmile.prepare.clean import clean as clean_joined
from lastmile.prepare.join import join_sources
from lastmile.prepare.sources.acquired import RawRows

COLUMNS = {
    "x": {"type": "number"},
    "n": {"type": "integer", "min": -1000},
    "c": {"type": "category"},
}
STEPS = [
    {"text": {"columns": ["c"]}},
    "contract",
    {"outliers": {"columns": ["x"], "rule": "iqr", "action": "drop"}},
    {"missing": {"columns": ["x", "n"], "by": "median", "flag": True}},
    {"missing": {"columns": ["c"], "by": "mode"}},
    {"outliers": {"columns": ["n"], "rule": "zscore", "action": "flag"}},
]


@pytest.fixture
def clean(alone):
    """Clean a frame as a single source gives it."""
    return lambda data, task, frame: clean_joined(data, task, alone(frame))


@pytest.fixture
def frame() -> pd.DataFrame:
    random = np.random.default_rng(0)
    rows = 400
    x = random.normal(size=rows)
    x[::37] = 50
    x[1::29] = np.nan
    return pd.DataFrame(
        {
            "id": [f"r{i}" for i in range(rows)],
            "x": x,
            "n": pd.Series(random.integers(-9, 9, rows).astype(float)).where(
                random.random(rows) > 0.1
            ),
            "c": random.choice(["a", " A ", "b", None], rows),
            "y": random.choice(["0", "1"], rows),
        }
    )


@pytest.fixture
def data(make_data):
    return make_data(columns=COLUMNS, key="id", clean=STEPS)


def test_the_server_cleans_a_record_as_preparing_cleaned_the_table(clean, frame, data):
    cleaned = clean(data, "binary", frame)
    rows, schema = cleaned.rows, cleaned.rows.schema
    cleaning = cleaning_from_json(cleaning_to_json(cleaned.cleaning))
    stored = {name: rows.frame[name].to_numpy() for name in schema.names}
    stored["c"] = rows.frame["c"].astype(object).where(rows.frame["c"].notna(), None).to_numpy()
    batch = cleaning(schema.from_columns(stored, len(rows)))
    assert cleaning.flags == ("x_missing", "n_missing", "n_outlier")
    for name, values in list(schema.to_columns(batch).items()):
        np.testing.assert_array_equal(values, rows.value(name).to_numpy(dtype=values.dtype))
    np.testing.assert_array_equal(batch.numbers[:, 2] == 1, rows.frame["x"].isna())


def test_what_is_in_validation_and_test_changes_nothing_that_is_fitted(clean, frame, data):
    first = clean(data, "binary", frame)
    held_out = first.rows.frame.index[first.rows.splits != 0]
    other = frame.copy()
    other.loc[held_out, "x"] = 1e6
    other.loc[held_out, "n"] = 777
    other.loc[held_out, "c"] = "zebra"
    second = clean(data, "binary", other)
    assert cleaning_to_json(second.cleaning) == cleaning_to_json(first.cleaning)
    is_train = first.rows.splits == 0
    pd.testing.assert_frame_equal(
        second.rows.frame[second.rows.splits == 0], first.rows.frame[is_train]
    )


def test_what_is_in_the_training_split_does_change_it(clean, frame, data):
    first = clean(data, "binary", frame)
    taught = first.rows.frame.index[first.rows.splits == 0]
    frame.loc[taught, "x"] *= 2
    assert cleaning_to_json(clean(data, "binary", frame).cleaning) != cleaning_to_json(
        first.cleaning
    )


def test_no_fitted_rule_drops_a_row_of_validation_or_test(clean, frame, data):
    cleaned = clean(data, "binary", frame)
    assert sum(step.dropped for step in cleaned.steps) > 10
    undropped = data.model_copy(update={"clean": ()})
    everything = clean(undropped, "binary", frame.fillna({"x": 0, "n": 0, "c": "a"})).rows
    splits = pd.Series(everything.splits, index=everything.frame.index)
    gone = frame.index.difference(cleaned.rows.frame.index)
    assert (splits.loc[gone] == 0).all()
    extreme = cleaned.rows.frame["x"] == 50
    assert extreme.any()
    assert 0 not in cleaned.rows.splits[extreme]


def test_steps_happen_in_the_order_of_the_file(clean, make_data, frame):
    """Clipped first, the mean hardly moves; filled first, the outliers move it."""

    def fitted(*order):
        steps = {
            "outliers": {"outliers": {"columns": ["x"], "rule": "zscore", "factor": 1}},
            "missing": {"missing": {"columns": ["x"], "by": "constant", "value": 1000}},
        }
        data = make_data(columns={"x": {"type": "number"}}, key="id",
                         clean=[steps[name] for name in order])  # fmt: skip
        cleaned = clean(data, "binary", frame)
        assert [s.step for s in cleaned.steps if s.step in steps] == list(order)
        return next(s for s in cleaned.steps if s.step == "outliers").fitted["x"]

    assert fitted("outliers", "missing")[1] < 20 < fitted("missing", "outliers")[1]


def test_a_contract_late_in_the_order_still_sees_values_of_a_wrong_type(clean, make_data, frame):
    text = frame.astype({"x": "object"}).astype({"x": "str"})
    text.loc[3, "x"] = "much"
    steps = [{"missing": {"columns": ["x"], "by": "median"}}, "contract"]
    data = make_data(columns={"x": {"type": "number"}}, key="id", clean=steps)
    cleaned = clean(data, "binary", text.where(text["x"] != "nan"))
    (aside,) = cleaned.rows.quarantined
    assert cleaned.rows.origin.raw(aside.index, ["x"])["x"].tolist() == ["much"]
    assert cleaned.steps[1].filled == {"x": int(frame["x"].isna().sum())}


def test_a_value_still_missing_after_all_steps_is_an_error(clean, make_data, frame):
    data = make_data(columns=COLUMNS, key="id")
    with pytest.raises(
        DataError, match=r"missing after all cleaning steps: x \(\d+\), n \(\d+\), c"
    ):
        clean(data, "binary", frame)


def test_a_step_that_names_no_column_is_refused_with_the_near_match(clean, make_data, frame):
    data = make_data(key="id", clean=[{"missing": {"columns": ["xx"], "by": "drop"}}])
    with pytest.raises(PipelineFileError, match="names 'xx'") as caught:
        clean(data, "binary", frame.rename(columns={"x": "xxy"}))
    assert "Did you mean 'xxy'?" in caught.value.hint


def test_a_required_column_that_is_not_there_is_an_error(clean, make_data, frame):
    data = make_data(columns={"age": {"type": "integer"}}, key="id")
    with pytest.raises(DataError, match=r"The data lacks age\. It has id, x, n, c, y"):
        clean(data, "binary", frame)


def test_an_optional_column_that_is_not_there_is_left_out(clean, make_data, frame):
    data = make_data(
        columns={"z": {"type": "number", "required": False}, "c": {"type": "category"}},
        key="id",
        clean=[
            {"missing": {"columns": ["z", "c"], "by": "mode"}},
        ],
    )
    assert clean(data, "binary", frame).rows.schema.names == ("c",)


def test_key_timestamps_and_columns_that_are_no_feature_are_not_read_by_the_model(
    clean, make_data, frame
):
    frame["t"] = "2026-01-01"
    rules = {"id": {"type": "category"}, "t": {"type": "timestamp"},
             "c": {"type": "category", "feature": False}, "y2": {"type": "number"}}  # fmt: skip
    frame["y2"] = 1.0
    cleaned = clean(make_data(columns=rules, key="id"), "binary", frame)
    assert cleaned.rows.schema.names == ("y2",)


def test_an_empty_result_is_an_error(clean, make_data, frame):
    frame["x"] = np.nan
    data = make_data(
        columns=COLUMNS, key="id", clean=[{"missing": {"columns": ["x"], "by": "drop"}}]
    )
    with pytest.raises(DataError, match=r"No row is left after step missing \(drop: x\)"):
        clean(data, "binary", frame)


def test_the_report_counts_every_step(clean, frame, data):
    cleaned = clean(data, "binary", frame)
    assert [step.step for step in cleaned.steps] == [
        "text", "contract", "split", "outliers", "missing", "missing", "outliers", "label",
    ]  # fmt: skip
    for before, after in zip(cleaned.steps, cleaned.steps[1:], strict=False):
        assert before.rows_out == after.rows_in
    for step in cleaned.steps:
        assert step.rows_in - step.rows_out == step.dropped + sum(step.quarantined.values())
    missing = cleaned.steps[4]
    assert missing.filled == missing.flagged
    assert sum(sum(c.values()) for c in cleaned.rows.class_counts().values()) == len(cleaned.rows)
    assert set(cleaned.rows.frame[LABEL]) == {0.0, 1.0}


@pytest.mark.parametrize("columns", [{}, {"n": {"type": "integer"}, "b": {"type": "boolean"},
                                          "c": {"type": "category"}}])  # fmt: skip
def test_whole_numbers_and_booleans_whose_partner_is_missing(make_data, frame, columns):
    """They come as pandas' own types with gaps, and every step takes them."""
    others = pd.DataFrame(
        {"id": frame["id"][::2], "n": range(200), "b": [True, False] * 100, "c": [7, 8] * 100}
    )
    sources = {"rows": frame[["id", "y"]], "others": others.reset_index(drop=True)}
    joined = join_sources(
        {name: RawRows.counted(rows) for name, rows in sources.items()}, {"others": "id"}
    )
    steps = [
        {"duplicates": {"by": "key", "keep": "newest", "order_by": "n"}},
        {"missing": {"columns": ["n", "b", "c"], "by": "mode"}},
    ]
    cleaned = clean_joined(make_data(columns=columns, key="id", clean=steps), "binary", joined)
    kinds = {name: rule.type for name, rule in cleaned.rows.rules.items()}
    assert (kinds["n"], kinds["b"]) == ("integer", "boolean")
    assert cleaned.rows.frame["n"].dropna().tolist() == list(range(200))
    assert cleaned.rows.frame["n"].isna().sum() == 200
    if columns:
        assert set(cleaned.rows.value("c")) == {"7", "8"}
