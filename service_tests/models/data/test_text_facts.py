"""Facts of a text that numpy counts in blocks equal those of a plain count of the whole text."""

import pytest
from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from models.data import text_facts
from models.data.text_facts import is_fully_quoted, scan_text

BLOCK_SIZES = st.integers(1, 40)


@pytest.mark.slow
@settings(max_examples=600, deadline=None)
@given(text=st.text('a"{:[\\.é\r\n', max_size=30), size=BLOCK_SIZES)
def test_counts_do_not_depend_on_blocks(text: str, size: int) -> None:
    content = text.encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_facts, "BLOCK_BYTES", size)
        facts = scan_text(content, (b"{", b'":'))
    assert facts.counts == (text.count("{"), text.count('":'))
    assert facts.lines == text.count("\n") + (not text.endswith("\n") and bool(text))
    assert facts.has_stray_returns == ("\r" in text.replace("\r\n", ""))
    flags = (facts.has_quotes, facts.has_lists, facts.has_escapes, facts.has_points, facts.is_ascii)
    assert flags == ('"' in text, "[" in text, "\\" in text, "." in text, text.isascii())


cells = st.one_of(st.sampled_from(['"a"', '""', '","', '"a,b"', '",a"', '"a,"']), st.text('a",', max_size=5))


@pytest.mark.slow
@settings(max_examples=1500, deadline=None)
@given(
    rows=st.lists(st.lists(cells, min_size=1, max_size=4), min_size=1, max_size=4),
    line_end=st.sampled_from(["\n", "\r\n"]),
    width=st.integers(1, 3),
    size=BLOCK_SIZES,
)
@example(rows=[['","b"'], ['"a"', '"b""']], line_end="\n", width=2, size=40)
@example(rows=[['"a"', '"b"', '"c"'], ['"a"']], line_end="\n", width=2, size=40)
def test_lines_of_a_fully_quoted_text_are_quoted_cells_without_quotes(
    rows: list[list[str]], line_end: str, width: int, size: int
) -> None:
    lines = [",".join(row) for row in rows]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_facts, "BLOCK_BYTES", size)
        is_plain = is_fully_quoted((line_end.join(lines) + line_end).encode(), b",", width)
    event(str(is_plain))
    if is_plain:
        inner = [line[1:-1].split('","') for line in lines]
        assert all(line[0] == line[-1] == '"' and len(line) > 1 for line in lines)
        assert not any('"' in cell for row in inner for cell in row)
        assert sum(map(len, inner)) == width * len(lines)


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_fully_quoted_export_is_recognized(line_end: str) -> None:
    lines = ['"user_id","item_id","timestamp"', '"u, 1","","1700000000"', '"","i","1"']
    for end in ("", line_end):
        assert is_fully_quoted((line_end.join(lines) + end).encode(), b",", 3)
    assert not is_fully_quoted(line_end.join([*lines, '"u","i"']).encode(), b",", 3)
    assert not is_fully_quoted(line_end.join([*lines, '"u","i",1']).encode(), b",", 3)
    assert not is_fully_quoted(line_end.join([*lines, '"u","a ""b""","1"']).encode(), b",", 3)
