"""Attributes that most rows of a file give as numbers, and some as texts."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from models.catalogue.attribute_times import parse_time
from models.data.bad_rows import BadRow
from models.data.cell_types import is_code, is_number

MAX_NAMES = 1_000
"""Attributes that are counted; a file of JSON may have another one in each row."""
MAX_SHOWN = 40
"""Most characters of a text that a warning repeats."""


@dataclass(slots=True)
class _Counts:
    numbers: int = 0
    texts: int = 0
    codes: int = 0
    """Cells of digits that a number would lose, such as 007."""
    first_line: int = 0
    first_text: str = ""


class MixedValues:
    """Counts numbers and texts by attribute; times count as neither.

    `is_typed` False: the cells of a column of texts have no types, so those that look like numbers count as numbers.
    `effect` says what a warning is about: what a text among numbers lacks.
    """

    def __init__(self, file: str, *, is_typed: bool, effect: str) -> None:
        self._file = file
        self._is_typed = is_typed
        self._effect = effect
        self._counts: dict[str, _Counts] = {}

    def add(self, line: int, attributes: Mapping[str, object]) -> None:
        """Count the values of a row; those of other types and empty cells are ignored."""
        for name, value in attributes.items():
            if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
                continue
            if value != value or (isinstance(value, str) and not value.strip()):
                continue
            if name not in self._counts and len(self._counts) >= MAX_NAMES:
                continue
            self._count(self._counts.setdefault(name, _Counts()), line, value)

    def format_lines(self) -> list[str]:
        """Format a warning for each attribute with more numbers than texts."""
        return [
            f"warning: {BadRow(self._file, counts.first_line, self._describe(name, counts))}"
            for name, counts in self._counts.items()
            if 0 < counts.texts < counts.numbers and not counts.codes
        ]

    def _count(self, counts: _Counts, line: int, value: str | float | Decimal) -> None:
        if not isinstance(value, str) or (not self._is_typed and is_number(value.strip())):
            counts.numbers += 1
        elif not self._is_typed and is_code(value.strip()):
            counts.codes += 1
        elif parse_time(value) is None:
            if not counts.texts:
                counts.first_line, counts.first_text = line, value[:MAX_SHOWN]
            counts.texts += 1

    def _describe(self, name: str, counts: _Counts) -> str:
        others = counts.texts - 1
        more = f" here and in {others:,} more row{'' if others == 1 else 's'}" if others else " here"
        if self._is_typed:
            return (
                f"attribute {name!r} is a text ({counts.first_text!r}){more}, and a number in {counts.numbers:,} rows; "
                f"{self._effect}, so write numbers without quotes"
            )
        return (
            f"attribute {name!r} is no number ({counts.first_text!r}){more}, so the numbers of {counts.numbers:,} "
            f"other rows are loaded as texts too; {self._effect}, so correct or empty these cells"
        )
