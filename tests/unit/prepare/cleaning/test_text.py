import pandas as pd
import pytest

from lastmile.errors import PipelineFileError
from lastmile.features.steps import TextStep
from lastmile.prepare.cleaning.text import TextNormalisation

CATEGORY = {"c": {"type": "category"}}


def test_blanks_and_case_are_brought_together(make_rows, apply, text_frame):
    rows = make_rows(text_frame(c=["  New   York ", "new york", "", None]), columns=CATEGORY)
    report = apply(TextNormalisation(columns=("c",)), rows)
    pd.testing.assert_frame_equal(
        rows.frame[["c"]], pd.DataFrame({"c": ["new york", "new york", None, None]}, dtype="str")
    )
    assert report.changed == {"c": 2}
    assert rows.steps == [TextStep(columns=("c",), case="lower")]


@pytest.mark.parametrize(("case", "expected"), [("upper", "A B"), ("keep", "a B")])
def test_cases(make_rows, apply, text_frame, case, expected):
    rows = make_rows(text_frame(c=[" a  B"]), columns=CATEGORY)
    apply(TextNormalisation(columns=("c",), case=case), rows)
    assert rows.frame["c"].tolist() == [expected]


def test_the_label_is_normalised_but_is_nothing_that_the_server_sees(make_rows, apply, text_frame):
    rows = make_rows(text_frame(c=["A"], y=[" Yes "]), columns=CATEGORY)
    apply(TextNormalisation(columns=("y",)), rows)
    assert rows.frame["y"].tolist() == ["yes"]
    assert rows.steps == []


def test_a_number_is_no_text(make_rows, apply, text_frame):
    rows = make_rows(text_frame(x=["1"]), columns={"x": {"type": "number"}})
    with pytest.raises(PipelineFileError, match="'x' is of type number, not category"):
        apply(TextNormalisation(columns=("x",)), rows)
