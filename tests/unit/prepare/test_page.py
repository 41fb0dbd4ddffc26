import re
from dataclasses import asdict
from html import escape
from html.parser import HTMLParser

import pandas as pd
import pytest

from lastmile.artefacts.dataset import Dataset
from lastmile.features.transform import cleaning_to_json
from lastmile.prepare.clean import clean
from lastmile.prepare.page import _bars, page
from lastmile.prepare.report import make_report

VOID = {"meta", "br", "rect"}


class Balanced(HTMLParser):
    """Fails on a tag that is closed in the wrong order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag


@pytest.fixture
def report(make_data, alone):
    evil = "<script>alert(1)</script>"
    rows = 200
    frame = pd.DataFrame(
        {
            evil: range(rows),
            "c": [f"{evil}{i % 20}" for i in range(rows)],
            "b": [i % 2 == 0 for i in range(rows)],
            "same": [1] * rows,
            "y": [evil, "no"] * (rows // 2),
        }
    )
    cleaned = clean(make_data(), "binary", alone(frame))
    dataset = Dataset(
        pipeline="toy", task="binary", classes=cleaned.rows.classes, quarantined=0, sources=(),
        cleaning=cleaning_to_json(cleaned.cleaning), rows={"train": 1, "validation": 1, "test": 1},
    )  # fmt: skip
    return make_report(dataset, cleaned)


def test_the_page_is_well_formed_and_nothing_in_the_data_becomes_markup(report):
    text = page(report)
    parser = Balanced()
    parser.feed(text)
    parser.close()
    assert not parser.open
    assert "script" not in parser.seen
    assert "&lt;script&gt;" in text
    assert parser.seen.count("svg") == 4


def test_the_page_fetches_nothing(report):
    assert not re.search(r"https?:|src=|@import|url\(", page(report))


def test_a_pipeline_of_many_columns_shows_some_and_counts_the_rest(report):
    report["columns"] = report["columns"] * 30
    assert "60 more columns are in report.json" in page(report)


def test_spellings_that_differ_in_blanks_can_be_told_apart(make_data, alone):
    spellings = ["CAR", " CAR", "CAR ", "old  car", "old car", "a\tb"]
    frame = pd.DataFrame({"c": spellings * 40, "y": ["a", "b"] * 120, "k": range(240)})
    cleaned = clean(make_data(key="k"), "binary", alone(frame))
    shown = _bars(asdict(cleaned.distributions[0]))
    for text in ("CAR", '"␣CAR"', '"CAR␣"', '"old␣␣car"', "old car", '"a⇥b"'):
        assert f">{escape(text)}<" in shown
