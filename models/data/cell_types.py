"""Types of the columns of delimited text, which states none: numbers, truth values or text."""

import re
from collections.abc import Iterable, Mapping
from typing import Literal

CellType = Literal["number", "boolean", "text"]

TRUTH_VALUES = {"true": True, "false": False}
MAX_NUMBER = 2**53
"""Floats from here on do not hold every whole number, so longer digits are text, such as a code."""
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")


def is_number(text: str) -> bool:
    """Check whether a number stands for the text without a loss."""
    return _NUMBER.fullmatch(text) is not None and abs(float(text)) < MAX_NUMBER


def is_code(text: str) -> bool:
    """Check whether the text is digits that a number would lose, such as 007."""
    return text.isdecimal() and not is_number(text)


def _is_truth_value(text: str) -> bool:
    return text.lower() in TRUTH_VALUES


_CHECKS = {"number": is_number, "boolean": _is_truth_value}


def find_cell_types(rows: Iterable[Mapping[str, str]]) -> dict[str, CellType]:
    """Find the type that all cells of each column have; empty cells do not count.

    Digits with a leading zero are text, because a number would lose it.
    """
    types: dict[str, CellType] = {}
    for row in rows:
        for name, cell in row.items():
            text = cell.strip()
            if not text or types.get(name) == "text":
                continue
            candidates: tuple[CellType, ...] = (types[name],) if name in types else ("number", "boolean")
            types[name] = next((each for each in candidates if _CHECKS[each](text)), "text")
    return types


def convert_cell(cell: str, cell_type: CellType) -> bool | int | float | str:
    """Convert a cell that is not empty and has this type."""
    text = cell.strip()
    if cell_type == "boolean":
        return TRUTH_VALUES[text.lower()]
    if cell_type == "text":
        return cell
    return int(text) if text.lstrip("-").isdigit() else float(text)
