import os

import pytest

from lastmile.train.gang.events import Alive, EpochDone, EventWriter, Failed, parse_event

EPOCH = EpochDone(
    epoch=12, epochs=50, step=96, loss=0.3149, validation_loss=0.29,
    rows_per_second=120_400, seconds_left=14.2,
)  # fmt: skip


def test_progress_reads_as_one_line() -> None:
    assert str(EPOCH) == "epoch 12/50 · loss 0.3149 · validation 0.29 · 120k rows/s · 14 s left"


@pytest.mark.parametrize(
    ("rate", "left", "text"),
    [
        (950.4, 61, "950 rows/s · 1 min 1 s left"),
        (3_400_000, 7300, "3.4M rows/s · 2 h 1 min left"),
        (12_345, 0, "12.3k rows/s · 0 s left"),
    ],
)
def test_numbers_and_times_are_written_to_be_read(rate: float, left: float, text: str) -> None:
    changed = EPOCH.model_copy(update={"rows_per_second": rate, "seconds_left": left})
    assert str(changed).endswith(text)


@pytest.mark.parametrize(
    "event", [Alive(), EPOCH, Failed(error="DataError", headline="x", hint="y")]
)
def test_an_event_survives_the_line(event: Alive | EpochDone | Failed) -> None:
    assert parse_event(event.model_dump_json()) == event


@pytest.mark.parametrize(
    "line", ["", "Unsupported ops: Counter()", '{"loss": 1}', '{"event": "other"}', "{", "[1]"]
)
def test_what_a_library_prints_is_no_event(line: str) -> None:
    assert parse_event(line) is None


def test_a_supervisor_that_is_gone_does_not_break_the_worker() -> None:
    read, write = os.pipe()
    os.close(read)
    EventWriter(write).send(Alive())
    os.close(write)


def test_without_a_rate_there_is_no_guess_at_the_time_left() -> None:
    assert str(EPOCH.model_copy(update={"rows_per_second": 0.0})).endswith("validation 0.29")
