"""Rows of CSV, TSV and JSON lines one by one, each with its true line number and, if it is none, the reason.

The careful way, in plain Python at some 2 µs a row; whole logs without faults take a faster one (`log_rows.py`).
It knows neither users nor items nor which columns anybody wants.
"""

import csv
import json
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

from models.data.bad_rows import BadInput
from models.data.formats import Content, DataFile, read_lines

SEPARATORS = {"csv": ",", "tsv": "\t"}
QUOTE = '"'
MAX_RECORD_LINES = 64


@dataclass(frozen=True, slots=True)
class Problem:
    reason: str


def read_header(file: DataFile, content: Content) -> list[str]:
    """The cells of the first row of a CSV or TSV file; BadInput if there is none."""
    header = next(
        (cells for _, cells in csv_rows(read_lines(content), SEPARATORS[file.format])), Problem("it is empty")
    )
    if isinstance(header, Problem):
        raise BadInput(f"{file}: no header: {header.reason}")
    return header


def csv_rows(lines: Iterable[str], separator: str) -> Iterator[tuple[int, list[str] | Problem]]:
    """(line, cells): the header first, and after it Problem for a row with another number of cells.

    A quoted cell may run over MAX_RECORD_LINES lines; the row has the number of its first. A quote that never closes
    costs only its own line. Blank lines are no rows.
    """
    rest = enumerate(lines, start=1)
    ahead: deque[tuple[int, str]] = deque()
    width: int | None = None
    while line := ahead.popleft() if ahead else next(rest, None):
        number, text = line
        if not text.strip("\r\n"):
            continue
        cells = _cells([text], separator)
        if cells is None and text.count(QUOTE) % 2:
            cells = _cells_over_lines(text, ahead, rest, separator)
        if cells is None:
            yield number, Problem("quotes that do not match")
        elif width is not None and len(cells) != width:
            yield number, Problem(f"{len(cells)} fields, the header has {width}")
        else:
            width = len(cells)
            yield number, cells


def _cells(lines: list[str], separator: str) -> list[str] | None:
    if len(lines) == 1 and QUOTE not in lines[0]:
        return lines[0].rstrip("\r\n").split(separator)
    try:
        records = list(csv.reader(lines, delimiter=separator, strict=True))
    except csv.Error:
        return None
    return records[0] if len(records) == 1 else None


def _cells_over_lines(
    start: str, ahead: deque[tuple[int, str]], rest: Iterator[tuple[int, str]], separator: str
) -> list[str] | None:
    """The record that `start` opens; takes its further lines off `ahead` only if it closes."""
    record = [start]
    for taken in range(1, MAX_RECORD_LINES):
        if len(ahead) < taken:
            line = next(rest, None)
            if line is None:
                return None
            ahead.append(line)
        text = ahead[taken - 1][1]
        record.append(text)
        if text.count(QUOTE) % 2:  # now they are even: it closes here or nowhere
            cells = _cells(record, separator)
            for _ in range(0 if cells is None else taken):
                ahead.popleft()
            return cells
    return None


def json_rows(lines: Iterable[str]) -> Iterator[tuple[int, dict[str, Any] | Problem]]:
    """(line, object); Problem for a line that is not one JSON object. Blank lines are no rows."""
    for number, text in enumerate(lines, start=1):
        if not text.strip():
            continue
        try:
            row = json.loads(text, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
            yield number, Problem(f"malformed JSON: {reason}")
        else:
            yield number, row if isinstance(row, dict) else Problem("not a JSON object")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
