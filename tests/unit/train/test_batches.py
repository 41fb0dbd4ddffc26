import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lastmile.train.batches import Batches

SIZES = {
    "rows": st.integers(1, 200),
    "batch_size": st.integers(1, 64),
    "workers": st.integers(1, 5),
    "epoch": st.integers(0, 3),
}


def all_workers(rows: int, batch_size: int, workers: int) -> list[Batches]:
    return [Batches(rows, batch_size, workers, worker, seed=3) for worker in range(workers)]


@given(**SIZES)
def test_every_row_is_taken_once_per_epoch_by_exactly_one_worker(
    rows: int, batch_size: int, workers: int, epoch: int
) -> None:
    taken = []
    for batches in all_workers(rows, batch_size, workers):
        indices, weights = batches.epoch(epoch, np.ones(rows, dtype=np.float32))
        assert indices.shape == weights.shape == (batches.steps, batches.share)
        taken += indices[weights > 0].tolist()
    assert sorted(taken) == list(range(rows))


@given(**SIZES)
def test_any_number_of_workers_shares_the_same_global_batches(
    rows: int, batch_size: int, workers: int, epoch: int
) -> None:
    alone = Batches(rows, batch_size, 1, 0, seed=3)
    expected, counted = alone.epoch(epoch, np.ones(rows, dtype=np.float32))
    for step in range(alone.steps):
        shared = []
        for batches in all_workers(rows, batch_size, workers):
            indices, weights = batches.epoch(epoch, np.ones(rows, dtype=np.float32))
            shared += indices[step][weights[step] > 0].tolist()
        assert shared == expected[step][counted[step] > 0].tolist()


@given(**SIZES)
def test_the_weights_of_a_global_batch_make_the_mean_over_its_real_rows(
    rows: int, batch_size: int, workers: int, epoch: int
) -> None:
    sums = sum(
        batches.epoch(epoch, np.full(rows, 2.0, dtype=np.float32))[1].sum(axis=1)
        for batches in all_workers(rows, batch_size, workers)
    )
    np.testing.assert_allclose(sums, 2.0, rtol=1e-5)


def test_the_order_follows_from_seed_and_epoch_alone() -> None:
    first, again = (Batches(100, 10, 1, 0, seed=1) for _ in range(2))
    other = Batches(100, 33, 4, 2, seed=1)
    assert first.order(5).tolist() == again.order(5).tolist() == other.order(5).tolist()
    assert first.order(5).tolist() != first.order(6).tolist()
    assert first.order(5).tolist() != Batches(100, 10, 1, 0, seed=2).order(5).tolist()


def test_a_row_of_a_split_in_order_counts_one_and_padding_nothing() -> None:
    parts = [batches.in_order() for batches in all_workers(rows=7, batch_size=4, workers=3)]
    assert sum(weights.sum() for _, weights in parts) == 7
    assert {weights.shape for _, weights in parts} == {(2, 2)}
