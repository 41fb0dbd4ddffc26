"""Intervals: they hold the truth as often as they say, and rows of one group count as one witness."""

import numpy as np
import pytest

from lastmile.evaluate.bootstrap import bootstrap, difference
from lastmile.evaluate.metrics import Predictions


def noisy(rows: int, seed: int, lift: float = 1.0) -> Predictions:
    random = np.random.default_rng(seed)
    labels = (np.arange(rows) % 2).astype(float)
    logits = lift * (2 * labels - 1) + random.normal(size=rows)
    return Predictions("binary", labels, 1 / (1 + np.exp(-logits))[:, None])


def test_an_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    truth = 0.92135  # P(N(1, 1) > N(-1, 1)) = Phi(sqrt(2))
    held = 0
    for seed in range(150):
        low, high = bootstrap(noisy(120, seed), resamples=200).ends["roc_auc"]
        held += low <= truth <= high
    assert 0.87 <= held / 150 <= 0.99


def test_ten_equal_rows_of_one_group_tell_no_more_than_one() -> None:
    one = noisy(60, 1)
    ten = Predictions("binary", np.repeat(one.labels, 10), np.repeat(one.scores, 10, axis=0))
    grouped = bootstrap(ten, np.repeat(np.arange(60), 10))
    alone = bootstrap(one)
    for name, ends in alone.ends.items():
        assert grouped.ends[name] == pytest.approx(ends), name
    low, high = bootstrap(ten).ends["roc_auc"]
    assert high - low < (grouped.ends["roc_auc"][1] - grouped.ends["roc_auc"][0]) / 2


def test_the_difference_of_a_model_to_itself_is_nothing() -> None:
    given = noisy(80, 2)
    assert difference(given, given, "roc_auc") == (0.0, 0.0)


def test_the_difference_to_a_worse_model_on_the_same_resamples_is_surer_than_either() -> None:
    better = noisy(200, 3)
    worse = Predictions(
        "binary", better.labels, better.scores * 0.9 + 0.05 * (1 - better.labels[:, None])
    )
    found = difference(better, worse, "log_loss")
    assert found is not None
    alone = bootstrap(better).ends["log_loss"]
    assert found[1] - found[0] < alone[1] - alone[0]


def test_too_few_resamples_with_every_class_give_no_interval() -> None:
    rare = Predictions("binary", np.array([1.0] + [0.0] * 9), np.linspace(0, 1, 10)[:, None])
    assert difference(rare, rare, "roc_auc", resamples=120) is None
