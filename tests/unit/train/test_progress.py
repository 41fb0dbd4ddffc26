from typing import Any

from lastmile.pipeline.train import Train
from lastmile.train.gang.progress import Progress


def after(losses: list[float], train: Train) -> Progress:
    progress = Progress()
    for loss in losses:
        if progress.is_over(train):
            break
        progress.advance([0.5, 0.5])
        progress.finish_epoch(0.5, loss, train)
    return progress


def make(**parts: Any) -> Train:
    return Train.model_validate(parts)


def test_training_ends_when_the_validation_loss_has_not_fallen_for_the_patience() -> None:
    progress = after([0.9, 0.5, 0.6, 0.7, 0.1], make(early_stopping={"patience": 2}))
    assert (progress.epoch, progress.best_epoch, progress.best_loss) == (4, 2, 0.5)


def test_a_loss_that_falls_by_less_than_min_delta_is_no_better() -> None:
    train = make(early_stopping={"patience": 2, "min_delta": 0.1})
    progress = after([0.9, 0.85, 0.81, 0.1], train)
    assert (progress.epoch, progress.best_epoch) == (3, 1)


def test_without_early_stopping_all_epochs_are_done() -> None:
    progress = after([0.5, 0.9, 0.9, 0.9, 0.9], make(epochs=4, early_stopping=None))
    assert progress.epoch == 4


def test_progress_in_the_middle_of_an_epoch_survives_being_written() -> None:
    progress = after([0.9, 0.5], make())
    progress.advance([0.25, 1 / 3])
    assert Progress.from_json(progress.to_json()) == progress
    assert progress.step == 6
    assert progress.losses == [0.25, 1 / 3]
