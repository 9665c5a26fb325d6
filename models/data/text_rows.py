"""Row-by-row parsers of delimited text and JSON lines, with true line numbers and a reason for every malformed row.

Plain Python, some 2 µs per row; whole logs without faults take a faster path (`delimited.py`, `json_rows.py`).
"""

import csv
import json
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

QUOTE = '"'
MAX_RECORD_LINES = 64
FIRST_REAL_SECOND = 10**8
"""March 1973: smaller Unix times are ranks, ids or ratings."""
_DATE = re.compile(r"[ \t]*[0-9]{4}[-/]")
_TIME = re.compile(r"[ \t]*(?:-?[0-9]+(?:\.[0-9]*)?|[0-9]{4}[-/][0-9]{2}[-/][0-9]{2}.*)[ \t\r\n]*")


@dataclass(frozen=True, slots=True)
class RowFault:
    """Why a row cannot be parsed."""

    reason: str


def is_time_text(text: str) -> bool:
    """Whether a cell may be a time: a number, or the beginning of a date."""
    return _TIME.fullmatch(text) is not None


def is_date_text(text: str) -> bool:
    return is_time_text(text) and _DATE.match(text) is not None


def is_real_time_text(text: str) -> bool:
    """Whether a cell is surely a time and no id or rating: a date, or a Unix time after March 1973."""
    if not is_time_text(text):
        return False
    try:
        return float(text) >= FIRST_REAL_SECOND
    except ValueError:
        return True


def parse_rows(
    lines: Iterable[str],
    separator: str,
    *,
    is_quoted: bool = True,
    is_padded: bool = False,
    is_row: Callable[[Sequence[str]], bool] | None = None,
) -> Iterator[tuple[int, list[str] | RowFault]]:
    """Yield (line, cells), the header first; RowFault for a row whose number of cells differs from the first row's.

    A quoted cell may span up to MAX_RECORD_LINES lines; its row has the number of the first. An unclosed quote
    invalidates only its own line, also where the quote of a later row would close it: then both lines are rows by
    themselves (`is_row`). Blank lines are skipped.
    """
    stream = enumerate(lines, start=1)
    ahead: deque[tuple[int, str]] = deque()
    width: int | None = None
    parser = _RecordParser(separator, is_padded, is_row) if is_quoted else None
    while line := ahead.popleft() if ahead else next(stream, None):
        number, text = line
        if not text.strip("\r\n"):
            continue
        if parser is None:
            cells: list[str] | None = text.rstrip("\r\n").split(separator)
        else:
            cells = parser.parse([text])
            if cells is None and text.count(QUOTE) % 2:
                cells = parser.parse_multiline(text, ahead, stream)
        if cells is None:
            yield number, RowFault("quotes do not match")
        elif width is not None and len(cells) != width:
            yield number, RowFault(f"{len(cells)} fields, the first line has {width}")
        else:
            width = len(cells)
            yield number, [cell.strip(" \t") for cell in cells] if is_padded else cells


@dataclass(frozen=True, slots=True)
class _RecordParser:
    separator: str
    is_padded: bool
    is_row: Callable[[Sequence[str]], bool] | None

    def parse(self, lines: list[str]) -> list[str] | None:
        if len(lines) == 1 and QUOTE not in lines[0]:
            return lines[0].rstrip("\r\n").split(self.separator)
        try:
            reader = csv.reader(lines, delimiter=self.separator, strict=True, skipinitialspace=self.is_padded)
            records = list(reader)
        except csv.Error:
            return None
        return records[0] if len(records) == 1 else None

    def parse_multiline(
        self, start: str, ahead: deque[tuple[int, str]], stream: Iterator[tuple[int, str]]
    ) -> list[str] | None:
        """Parse the record that `start` opens; its other lines are removed from `ahead` only if it closes."""
        record = [start]
        for count in range(1, MAX_RECORD_LINES):
            if len(ahead) < count:
                line = next(stream, None)
                if line is None:
                    return None
                ahead.append(line)
            text = ahead[count - 1][1]
            record.append(text)
            if self._is_row(start) and self._is_row(text):
                return None
            if text.count(QUOTE) % 2:  # the total is even now: the record closes here or never
                cells = self.parse(record)
                for _ in range(0 if cells is None else count):
                    ahead.popleft()
                return cells
        return None

    def _is_row(self, text: str) -> bool:
        return self.is_row is not None and self.is_row(text.rstrip("\r\n").split(self.separator))


def parse_json_lines(lines: Iterable[str]) -> Iterator[tuple[int, dict[str, Any] | RowFault]]:
    """Yield (line, object); RowFault for a line that is not one JSON object. Blank lines are skipped."""
    for number, text in enumerate(lines, start=1):
        if not text.strip():
            continue
        try:
            row = json.loads(text, parse_constant=_reject_constant, object_pairs_hook=_make_object)
        except (ValueError, RecursionError) as error:
            reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
            yield number, RowFault(f"malformed JSON: {reason}")
        else:
            yield number, row if isinstance(row, dict) else RowFault("not a JSON object")


def _make_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The first of equal keys wins, as in polars."""
    result = dict(pairs)
    return result if len(result) == len(pairs) else dict(reversed(pairs))


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not valid in JSON")
