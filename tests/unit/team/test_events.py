"""Which events have one cause, and what a text must not carry."""

from collections.abc import Callable

import pytest

from lastmile.team.events import Event, Kind, clean, cut, fingerprint, generalise

MakeEvent = Callable[..., Event]

SAME_CAUSE = [
    ("35 of 1000 rows break the contract (3.5 %, allowed 2 %).",
     "41 of 990 rows break the contract (4.1 %, allowed 2 %)."),
    ("/data/2026-03-01/loans.csv is missing.", "/data/2026-03-02/loans.csv is missing."),
    ("applications/2026-03-01.csv has no header.", "applications/2026-03-02.csv has no header."),
    ("The query ended at 2026-03-01T02:00:03Z.", "The query ended at 2026-03-02T02:11:59.120+00:00."),
    ("No answer since 02:03:11.", "No answer since 14:59."),
    ("Run manual__2026-03-01T02:00:00+00:00 hung.", "Run scheduled__2026-03-02T02:00:00+00:00 hung."),
    ("train@3fa94b1c02de is altered.", "train@b81c0ffee123 is altered."),
    ("Job 6f9619ff-8b86-4011-b42d-00c04fc964ff died.", "Job 0e37df36-f698-4e6d-8c2f-1b6d4c1b1c1d died."),
    ("Cannot reach http://10.0.0.3:8080/x?y=1.", "Cannot reach http://10.0.0.4:8080/x?y=2."),
    ("Worker 3 of 4 was killed after 12.5s.", "Worker 1 of 4 was killed after 7s."),
    ("Pod trainer-7d9f8-x2x4q was evicted.", "Pod trainer-6c8b9-p0z1k was evicted."),
    ("Memory 3.5 GB of 4 GB used.", "Memory 3900 MB of 4 GB used."),
    ("object at 0x7f3a01 broke", "object at 0x7f9c22 broke"),
    ("Cannot write /tmp/tmpab12cd34/x.", "Cannot write /tmp/tmpzz98yy76/x."),
    ("The  ledger\ndoes not answer", "the ledger does not answer"),
]  # fmt: skip

ANOTHER_CAUSE = [
    ("The column age is missing.", "The column income is missing."),
    ("The column feature_1 is missing.", "The column feature_2 is missing."),
    ("loans.csv is empty.", "customers.csv is empty."),
    ("The disk is full.", "The disk is read-only."),
    ("roc_auc 0.71 is below 0.75.", "recall 0.71 is below 0.75."),
]


@pytest.mark.parametrize(("first", "second"), SAME_CAUSE)
def test_numbers_ids_paths_and_times_do_not_make_another_cause(
    make_event: MakeEvent, first: str, second: str
) -> None:
    assert generalise(first) == generalise(second)
    assert fingerprint(make_event(headline=first)) == fingerprint(make_event(headline=second))


@pytest.mark.parametrize(("first", "second"), ANOTHER_CAUSE)
def test_other_words_are_another_cause(make_event: MakeEvent, first: str, second: str) -> None:
    assert fingerprint(make_event(headline=first)) != fingerprint(make_event(headline=second))


@pytest.mark.parametrize("part", ["pipeline", "stage", "error_class"])
def test_the_same_words_elsewhere_are_another_cause(make_event: MakeEvent, part: str) -> None:
    assert fingerprint(make_event()) != fingerprint(make_event(**{part: "other"}))


@pytest.mark.parametrize("part", ["run_id", "hint", "owner"])
def test_who_is_told_and_in_which_run_does_not_matter(make_event: MakeEvent, part: str) -> None:
    assert fingerprint(make_event()) == fingerprint(make_event(**{part: "other"}))


@pytest.mark.parametrize("kind", [kind for kind in Kind if not kind.is_incident])
def test_an_announcement_is_its_runs_own(make_event: MakeEvent, kind: Kind) -> None:
    first, second = make_event(kind=kind, run_id="a"), make_event(kind=kind, run_id="b")
    assert fingerprint(first) != fingerprint(second)


def test_a_text_loses_what_terminals_obey_and_databases_refuse() -> None:
    assert clean("a\x00b\x1b[31mred\x9b\u202egpj.exe\r\nnext\ttab") == (
        "a\ufffdb\ufffd[31mred\ufffd\ufffdgpj.exe\nnext\ttab"
    )
    assert clean("half \ud800 a pair").encode()
    assert clean("Grüße, 世界 👩‍🔬") == "Grüße, 世界 👩‍🔬"


def test_a_long_text_is_cut_with_a_sign() -> None:
    assert cut("abcdef", 6) == "abcdef"
    assert cut("abcdefg", 6) == "abcde…"


def test_an_event_of_any_size_becomes_bearable(make_event: MakeEvent) -> None:
    event = make_event(
        headline="x" * 10_000_000, facts={f"label {n}": "y" * 100_000 for n in range(1000)}
    ).with_texts(str)
    assert len(event.model_dump_json()) < 100_000
