"""Counts are read as people write them, and what is none is told by its option."""

import pytest

from app.cli.counts import asked_count, count_of, counts_of


def test_units_multiply() -> None:
    assert [count_of(text) for text in ("10M", "1k", "2.5m", " 1500 ", "3b")] == [
        10_000_000,
        1000,
        2_500_000,
        1500,
        3_000_000_000,
    ]
    assert counts_of("items", "10k,60") == [10_000, 60]


@pytest.mark.parametrize("text", ["", "k", "10g", "1e400", "nan", "ten"])
def test_what_is_no_count_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        count_of(text)
    with pytest.raises(ValueError, match="--items is"):
        asked_count("items", text, 1, 100)


def test_a_count_out_of_bounds_names_them() -> None:
    with pytest.raises(ValueError, match="--users is 101; from 1 to 100"):
        asked_count("users", "101", 1, 100)
