"""Types of columns in delimited text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.data.cell_types import convert_cell, find_cell_types


@pytest.mark.parametrize(
    ("cells", "cell_type"),
    [
        (["1", "2.5", "-3e2", ""], "number"),
        (["true", "FALSE", ""], "boolean"),
        (["1", "n/a", "2"], "text"),
        (["true", "1"], "text"),
        (["007", "12"], "text"),
        (["9007199254740993"], "text"),
        (["1e999"], "text"),
        (["nan"], "text"),
    ],
)
def test_column_has_the_type_of_all_its_cells(cells: list[str], cell_type: str) -> None:
    assert find_cell_types({"x": cell} for cell in cells) == {"x": cell_type}


def test_column_of_empty_cells_has_no_type() -> None:
    assert find_cell_types([{"x": ""}, {"x": " "}]) == {}


@given(st.lists(st.integers(1 - 2**53, 2**53 - 1) | st.floats(-1e15, 1e15), min_size=1))
def test_numbers_survive_the_round_trip_through_text(numbers: list[int | float]) -> None:
    cells = [repr(number) for number in numbers]
    types = find_cell_types({"x": cell} for cell in cells)
    assert types == {"x": "number"}
    assert [repr(convert_cell(cell, types["x"])) for cell in cells] == cells
