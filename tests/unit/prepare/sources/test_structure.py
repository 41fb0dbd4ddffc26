import codecs
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastmile.errors import DataError
from lastmile.prepare.sources import structure
from lastmile.prepare.sources.structure import check_structure


@pytest.fixture
def check(tmp_path):
    def do(content: bytes, delimiter: str = ","):
        path = tmp_path / "t.csv"
        path.write_bytes(content)
        return check_structure(path, delimiter, "t.csv")

    return do


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        pytest.param(b"a,b\n1,2\n3,4\n", [2, 3], id="plain"),
        pytest.param(b"a,b\r\n1,2\r\n3,4", [2, 3], id="crlf-no-last-newline"),
        pytest.param(b"a,b\r1,2\r", [2], id="old-mac"),
        pytest.param(codecs.BOM_UTF8 + b'"a","b"\n1,2\n', [2], id="byte-order-mark"),
        pytest.param(b'a,b\n1,"x,y\n""z"""\n', [2], id="quoted"),
        pytest.param(b'a,b\n5" disk,6" disk\n', [2], id="inches"),
        pytest.param(b"a,b\n\n1,2\n\n", [3], id="blank-lines"),
        pytest.param(b'a,b\n1,"x\n\ny"\n\n3,4\n"5",6\n', [2, 6, 7], id="lines-in-quotes"),
        pytest.param(b'a,b\r1,"x\ry"\r\r3,4\r', [2, 5], id="old-mac-lines-in-quotes"),
        pytest.param("a,b\n\u00e9,\U0001f600\n".encode(), [2], id="utf-8"),
    ],
)
@pytest.mark.parametrize("block", [structure.BLOCK_BYTES, 5])
def test_a_table_is_a_table_whose_rows_have_their_lines(check, monkeypatch, content, lines, block):
    monkeypatch.setattr(structure, "BLOCK_BYTES", block)
    shape = check(content)
    assert (shape.columns, shape.rows) == (2, len(lines))
    assert shape.lines.tolist() == lines
    assert shape.is_ended == content.endswith((b"\n", b"\r"))


@pytest.mark.parametrize(
    ("content", "headline"),
    [
        pytest.param(b"", r"t.csv: the file is empty", id="empty"),
        pytest.param(codecs.BOM_UTF8, r"t.csv: the file is empty", id="only-a-mark"),
        pytest.param(b"\n\na,b\n1,2\n", r"t.csv:1: a blank line where", id="blank-first-line"),
        pytest.param(b"a,b\n", r"t.csv: a header, but no rows", id="header-only"),
        pytest.param(b"a,b", r"t.csv: a header, but no rows", id="header-without-newline"),
        pytest.param(b"a,b\n1,2\n3,x\0y\n", r"t.csv:3, column 'b': a NUL byte", id="nul"),
        pytest.param(
            b"a,b\n1,caf\xe9\n", r"t.csv:2, column 'b': byte 0xe9 is no UTF-8", id="latin-1"
        ),
        pytest.param(b"a,b\n1,\xc3", r"t.csv:2, column 'b': byte 0xc3", id="cut-in-a-character"),
        pytest.param(
            b"a,b,c\n1,2,3\n4,5", r"t.csv:3, column 'c': 2 fields.*cut off", id="truncated"
        ),
        pytest.param(
            b"a,b,c\n1,2\n3,4,5\n", r"t.csv:2, column 'c': 2 fields, where.* 3\.$", id="short"
        ),
        pytest.param(b"a,b\n1,2\n3,4,5\n", r"t.csv:3: 3 fields, where the header has 2", id="long"),
        pytest.param(b'a,b\n1,2\n3,"x\n5,6\n', r"t.csv:3: a quote opens here", id="unclosed-quote"),
        pytest.param(
            b'a,b\n3,"x\n5,"6"\n', r"t.csv:2: a quote opens here", id="quotes-turned-inside-out"
        ),
        pytest.param(
            b"a,b,a\n1,2,3\n", r"t.csv:1: columns 1 and 3 are both called 'a'", id="repeated"
        ),
        pytest.param(b",b\n1,2\n", r"t.csv:1: column 1 of the header has no name", id="no-name"),
        pytest.param(b"a,b\n1,2\n  \n3,4\n", r"t.csv:3, column 'b': 1 fields", id="line-of-blanks"),
        pytest.param(b'a,b\nx"\ny",2\n', r"t.csv:2, column 'b': 1 fields", id="quotes-in-fields"),
    ],
)
def test_what_is_no_table_is_refused_with_its_place(check, content, headline):
    with pytest.raises(DataError, match=headline) as caught:
        check(content)
    assert caught.value.hint


def test_a_million_columns_are_refused_at_the_first_look(check):
    content = b",".join(b"c%d" % i for i in range(1_000_000)) + b"\n"
    started = time.monotonic()
    with pytest.raises(DataError, match="at most 10000 columns"):
        check(content)
    assert time.monotonic() - started < 1


def test_many_short_names_are_counted(check):
    with pytest.raises(DataError, match="10001 columns"):
        check(b",".join(b"%x" % i for i in range(10_001)) + b"\n")


@pytest.mark.parametrize("quote", [b"", b'"'])
def test_an_oversized_field_is_refused(check, quote):
    big = b"x" * (structure.MAX_FIELD_BYTES + 1)
    with pytest.raises(DataError, match=r"t.csv:3: a field of more than 1 MiB"):
        check(b"a,b\n1,2\n3," + quote + big + quote + b"\n")


def test_a_row_without_end_is_refused_before_it_is_read_whole(check, monkeypatch):
    monkeypatch.setattr(structure, "MAX_RECORD_BYTES", 1 << 16)
    monkeypatch.setattr(structure, "BLOCK_BYTES", 1 << 14)
    with pytest.raises(DataError, match=r"t.csv:2: a row of more than"):
        check(b"a,b\n1," + b"x" * (1 << 20))
    with pytest.raises(DataError, match=r"t.csv:3: a quote opens here and stays open"):
        check(b'a,b\n1,2\n1,"' + b"x,\n" * (1 << 18))


FIELDS = st.text(st.sampled_from('ab,"\n '), max_size=4)


@given(
    rows=st.lists(st.lists(FIELDS, min_size=2, max_size=2), min_size=1, max_size=20),
    block=st.integers(1, 40),
)
def test_whatever_the_csv_module_writes_is_a_table(tmp_path_factory, rows, block):
    import csv

    path = tmp_path_factory.mktemp("t") / "t.csv"
    with path.open("w", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows([["a", "b"], *rows])
    before = structure.BLOCK_BYTES
    structure.BLOCK_BYTES = block  # so that blocks end anywhere
    try:
        shape = check_structure(path, ",", "t.csv")
    finally:
        structure.BLOCK_BYTES = before
    assert (shape.rows, shape.columns) == (len(rows), 2)
    spans = [1 + sum(field.count("\n") for field in row) for row in rows]
    assert shape.lines.tolist() == [2, *(2 + np.cumsum(spans)[:-1])]


@given(lines=st.lists(st.text(st.sampled_from('a,"'), max_size=5), min_size=1, max_size=8),
       block=st.integers(1, 20))  # fmt: skip
def test_the_quick_pass_never_takes_what_the_row_by_row_pass_refuses(
    tmp_path_factory, lines, block
):
    path = tmp_path_factory.mktemp("t") / "t.csv"
    path.write_text("\n".join(["a,b", *lines]) + "\n")
    before = structure.BLOCK_BYTES
    structure.BLOCK_BYTES = block
    try:
        quick = check_structure(path, ",", "t.csv").lines
    except DataError:
        return
    finally:
        structure.BLOCK_BYTES = before
    slow = structure._read_slowly(path, ",", "t.csv", ["a", "b"])
    assert slow.tolist() == [1, *quick]
