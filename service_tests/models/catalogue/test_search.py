"""Search in strings equals a search in their lowercase forms, one after another."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.catalogue import search
from models.catalogue.folding import fold
from models.catalogue.search import find_containing, find_prefixed
from models.catalogue.string_array import StringArray

CHARACTERS = "aAbB zÀàÉéẞßİıΣσςЖжẠạ漢😀K"
TEXTS = st.lists(st.text(CHARACTERS, max_size=6), max_size=40)


def is_foldable(upper: str, lower: str) -> bool:
    return len(upper.encode()) == len(lower.encode())


@given(st.text())
def test_folding_lowers_characters_that_stay_as_long(text: str) -> None:
    lowered = [(character, character.lower() if ord(character) < 2**16 else character) for character in text]
    expected = "".join(lower if is_foldable(character, lower) else character for character, lower in lowered)
    assert fold(text.encode("utf-8", "replace")) == expected.encode("utf-8", "replace")


@given(TEXTS, st.text(CHARACTERS, min_size=1, max_size=3), st.integers(1, 5), st.integers(1, 30))
def test_matches_equal_those_of_one_string_after_another(
    texts: list[str], query: str, count: int, piece_bytes: int
) -> None:
    strings, needle, folded = StringArray.from_strings(texts), fold(query.encode()), [fold(t.encode()) for t in texts]
    expected = {
        "prefix": [row for row, text in enumerate(folded) if text.startswith(needle)],
        "whole": [row for row, text in enumerate(folded) if text == needle],
        "part": [row for row, text in enumerate(folded) if needle in text],
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "PIECE_BYTES", piece_bytes)
        patch.setattr(search, "PIECE_STRINGS", piece_bytes)
        results = {
            "prefix": find_prefixed(strings, needle, count),
            "whole": find_prefixed(strings, needle, count, is_whole=True),
            "part": find_containing(strings, needle, count, time.perf_counter() + 600),
        }
    for name, matches in results.items():
        assert matches.positions.tolist() == expected[name][:count], name
        assert matches.is_complete == (len(expected[name]) <= count), name


def test_search_that_runs_out_of_time_is_incomplete() -> None:
    strings = StringArray.from_strings(["lamp"] * 100)
    matches = find_containing(strings, b"amp", 50, time.perf_counter() - 1)
    assert not matches.is_complete
    assert len(matches.positions) < 50


def test_text_that_reaches_into_the_next_string_does_not_match() -> None:
    strings = StringArray.from_strings(["na", "na", "nana"])
    assert find_containing(strings, b"nana", 5, np.inf).positions.tolist() == [2]
