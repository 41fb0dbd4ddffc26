import numpy as np
import pytest

from lastmile.train.optimizers.schedules import Cosine, Exponential


def test_cosine_falls_from_initial_to_final_along_half_a_cosine() -> None:
    rates = Cosine(kind="cosine", initial=0.1, final=0.01).rates(steps_per_epoch=11, epochs=1)
    assert rates[[0, 5, 10]].tolist() == pytest.approx([0.1, 0.055, 0.01])
    assert (np.diff(rates) < 0).all()


def test_warmup_rises_in_equal_parts_and_ends_at_initial() -> None:
    rates = Cosine(kind="cosine", initial=0.1, warmup_epochs=0.5).rates(steps_per_epoch=8, epochs=3)
    assert len(rates) == 24
    assert rates[:5].tolist() == pytest.approx([0.025, 0.05, 0.075, 0.1, 0.1])
    assert rates[-1] == pytest.approx(0.0, abs=1e-9)


def test_warmup_longer_than_training_only_rises() -> None:
    rates = Cosine(kind="cosine", initial=0.1, warmup_epochs=9).rates(steps_per_epoch=2, epochs=2)
    assert rates.tolist() == pytest.approx([0.025, 0.05, 0.075, 0.1])


def test_exponential_is_the_same_within_an_epoch_and_smaller_by_the_factor_after_it() -> None:
    rates = Exponential(kind="exponential", initial=0.1, decay=0.5).rates(
        steps_per_epoch=2, epochs=3
    )
    assert rates.tolist() == pytest.approx([0.1, 0.1, 0.05, 0.05, 0.025, 0.025])
