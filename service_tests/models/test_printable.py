"""Only printable characters of users' files reach a terminal."""

from hypothesis import given
from hypothesis import strategies as st

from models.printable import to_printable
from models.text_table import format_text_table


@given(text=st.text())
def test_text_is_printable_and_as_long(text: str) -> None:
    printable = to_printable(text)
    assert printable.isprintable() or not printable
    assert len(printable) == len(text)
    assert all(before == after for before, after in zip(text, printable, strict=True) if before.isprintable())


def test_table_shows_no_escape_sequence() -> None:
    assert format_text_table(["id", "n"], [["u\x1b[31m\n", "1"]]) == "id       n\nu\ufffd[31m\ufffd  1"
