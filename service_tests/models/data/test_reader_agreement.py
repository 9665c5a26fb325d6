"""The fast readers return what the row-by-row readers return, for every malformed file, or leave it to them."""

import csv
from io import StringIO
from typing import Any

import polars as pl
import pytest
from hypothesis import assume, event, example, given, settings
from hypothesis import strategies as st

from models.data.delimited import read_delimited, read_delimited_by_line, read_delimited_fast
from models.data.json_rows import read_json_by_line, read_json_fast
from models.data.layouts import TextLayout
from models.data.read_options import ReadOptions
from models.data.row_checks import check_rows

NAMES = {name: name for name in ("user_id", "item_id", "timestamp")}
JSON_NAMES = {name: name for name in (*NAMES, "type", "event_id")}
SEPARATORS = [(",", True), (";", True), ("|", True), ("\t", False), ("\t", True), ("::", False), (" ", False)]

plain_cells = st.sampled_from(["a", "b", "", "17", "5.0", "1700000000", "é", "2023-11-14"])
odd_cells = st.one_of(
    st.sampled_from(
        ['"a"', '""', '"a""b"', '"a,b;c|d"', '"a\nb"', '"open', 'clo"sed', '"a"b', "\t", " a ", "a\rb", "'"]
    ),
    st.text('ab1",;\t|: \r\n', max_size=4),
)
JSON_VALUES = r"""
"a" "b" 1 17 1700000000 1.0 1.10 2.5 true null -0 -0.0 1e3 1E2 1e400 123456789012345678901234567890 "\u00e9" "\ud800"
"\ud83d\ude00" "\u0000" "x\ny" [1] {"k":1} "1.0" "true" NaN Infinity 01 +1 .5 1. " "a\x" "1e5" 18446744073709551615
9223372036854775808 "2023-11-14" [] {} "007" "-0" ["a",1] [[1]] {"user_id":"z"} {"k":[1,"a"],"item_id":{}} [1e3,]
0.1234567890123 1e-7 [{"user_id":"z"}] "[a" "{" {"k":1,"k":2} [null,true]
"""
values = st.sampled_from(JSON_VALUES.split())


@st.composite
def texts(draw: st.DrawFn) -> tuple[TextLayout, bytes]:
    """A delimited text, mostly well-formed, in any layout."""
    separator, is_quoted = draw(st.sampled_from(SEPARATORS))
    header = draw(st.permutations([*NAMES, *draw(st.sampled_from([[], ["x"], ["x", "y"]]))]))
    layout = TextLayout(
        separator, is_quoted, list(header), draw(st.integers(0, 1)), is_padded=draw(st.booleans()) and separator != " "
    )
    cells = draw(st.sampled_from([plain_cells, st.one_of(plain_cells, plain_cells, plain_cells, odd_cells)]))
    widths = st.one_of(st.just(len(header)), st.just(len(header)), st.integers(1, len(header) + 1))
    rows = draw(st.lists(widths.flatmap(lambda width: st.lists(cells, min_size=width, max_size=width)), max_size=5))
    joined = separator + (" " if layout.is_padded else "")
    lines = [joined.join(row) for row in [header] * layout.header_rows + rows]
    line_end = draw(st.sampled_from(["\n", "\n", "\r\n"]))
    text = line_end.join(lines) + draw(st.sampled_from(["", line_end, line_end * 2]))
    assume(text.strip())
    return layout, text.encode(draw(st.sampled_from(["utf-8", "latin-1"])))


@st.composite
def json_texts(draw: st.DrawFn) -> bytes:
    """JSON lines, mostly well-formed objects with plain values."""
    lines = []
    for _ in range(draw(st.integers(1, 4))):
        keys = (
            draw(st.lists(st.sampled_from([*JSON_NAMES, "x"]), min_size=2, max_size=6))
            if draw(st.booleans())
            else [*NAMES]
        )
        plain = st.sampled_from(['"a"', "1", "1700000000"])
        pairs = [f'"{key}":{draw(st.one_of(plain, plain, values))}' for key in keys]
        line = "{" + draw(st.sampled_from([",", ", ", " , "])).join(pairs) + "}"
        faults = [line] * 8 + [
            line[:-1] + ",}",
            line + " x",
            line + line,
            line[:-3],
            f"[{line}]",
            "",
            f" {line} ",
            "null",
            line + "\r",
        ]
        lines.append(draw(st.sampled_from(faults)))
    return ("\n".join(lines) + draw(st.sampled_from(["", "\n"]))).encode()


def check(rows: pl.DataFrame) -> tuple[list[Any], list[Any]]:
    checked = check_rows("log", rows, ReadOptions(), first_rank=0, now_ms=1_800_000_000_000)
    return checked.events.rows(), checked.bad_rows.rows()


@pytest.mark.slow
@settings(max_examples=600, deadline=None)
@given(case=texts())
@example(case=(TextLayout(",", True, [*NAMES]), b"user_id,item_id,timestamp\nu,i,1,"))
@example(case=(TextLayout(",", True, [*NAMES]), b'user_id,item_id,timestamp\n"u\nu",i,1\n\n'))
@example(case=(TextLayout(",", True, [*NAMES, "x"]), b"user_id,item_id,timestamp,x\nu,i,1\n"))
@example(case=(TextLayout(",", True, [*NAMES]), b"\nuser_id,item_id,timestamp\nu,i,1\n"))
def test_fast_and_careful_reader_of_delimited_text_agree(case: tuple[TextLayout, bytes]) -> None:
    layout, content = case
    fast = read_delimited_fast(content, layout, NAMES)
    event("fast" if fast is not None else "by line")
    if fast is not None:
        assert check(fast) == check(read_delimited_by_line(content, layout, NAMES))


@pytest.mark.slow
@settings(max_examples=600, deadline=None)
@given(content=json_texts())
def test_fast_and_careful_reader_of_json_agree(content: bytes) -> None:
    fast = read_json_fast(content, JSON_NAMES)
    event("fast" if fast is not None else "by line")
    if fast is not None:
        assert check(fast) == check(read_json_by_line(content, JSON_NAMES))


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(
    rows=st.lists(st.lists(st.text('ab",;\t\n ', max_size=5), min_size=4, max_size=4), max_size=6),
    separator=st.sampled_from(",;|"),
)
def test_well_formed_csv_is_read_as_the_standard_library_reads_it(rows: list[list[str]], separator: str) -> None:
    header = ["x", *NAMES]
    text = StringIO()
    csv.writer(text, delimiter=separator, lineterminator="\n").writerows([header, *rows])
    frame = read_delimited(text.getvalue().encode(), TextLayout(separator, True, header), NAMES)
    expected = list(csv.reader(StringIO(text.getvalue(), newline=""), delimiter=separator))[1:]
    assert [[value or "" for value in row[:3]] for row in frame.rows()] == [row[1:] for row in expected if row]


@settings(max_examples=300, deadline=None)
@given(rows=st.lists(st.lists(st.text('ab",; ', max_size=5), min_size=4, max_size=4), max_size=6))
def test_every_line_of_a_tsv_is_split_at_its_tabs(rows: list[list[str]]) -> None:
    header = ["x", *NAMES]
    content = "".join("\t".join(row) + "\n" for row in [header, *rows]).encode()
    frame = read_delimited(content, TextLayout("\t", False, header), NAMES)
    assert [[value or "" for value in row[:3]] for row in frame.rows()] == [row[1:] for row in rows]
