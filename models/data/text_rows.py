"""Row-by-row parsers of CSV, TSV and JSON lines, with true line numbers and a reason for every malformed row.

Plain Python, some 2 µs per row; whole logs without faults take a faster path (`interactions.py`).
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
class RowFault:
    """Why a row cannot be parsed."""

    reason: str


def read_header(file: DataFile, content: Content) -> list[str]:
    """Read the first row of a CSV or TSV file; BadInput if there is none."""
    rows = parse_csv(read_lines(content), SEPARATORS[file.format])
    header = next((cells for _, cells in rows), RowFault("the file has no rows"))
    if isinstance(header, RowFault):
        raise BadInput(f"{file}: no header: {header.reason}")
    return header


def parse_csv(lines: Iterable[str], separator: str) -> Iterator[tuple[int, list[str] | RowFault]]:
    """Yield (line, cells), the header first; RowFault for a row whose number of cells differs from the header's.

    A quoted cell may span up to MAX_RECORD_LINES lines; its row has the number of the first. An unclosed quote
    invalidates only its own line. Blank lines are skipped.
    """
    stream = enumerate(lines, start=1)
    ahead: deque[tuple[int, str]] = deque()
    width: int | None = None
    while line := ahead.popleft() if ahead else next(stream, None):
        number, text = line
        if not text.strip("\r\n"):
            continue
        cells = _parse_record([text], separator)
        if cells is None and text.count(QUOTE) % 2:
            cells = _parse_multiline_record(text, ahead, stream, separator)
        if cells is None:
            yield number, RowFault("quotes do not match")
        elif width is not None and len(cells) != width:
            yield number, RowFault(f"{len(cells)} fields, the header has {width}")
        else:
            width = len(cells)
            yield number, cells


def _parse_record(lines: list[str], separator: str) -> list[str] | None:
    if len(lines) == 1 and QUOTE not in lines[0]:
        return lines[0].rstrip("\r\n").split(separator)
    try:
        records = list(csv.reader(lines, delimiter=separator, strict=True))
    except csv.Error:
        return None
    return records[0] if len(records) == 1 else None


def _parse_multiline_record(
    start: str, ahead: deque[tuple[int, str]], stream: Iterator[tuple[int, str]], separator: str
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
        if text.count(QUOTE) % 2:  # the total is even now: the record closes here or never
            cells = _parse_record(record, separator)
            for _ in range(0 if cells is None else count):
                ahead.popleft()
            return cells
    return None


def parse_json_lines(lines: Iterable[str]) -> Iterator[tuple[int, dict[str, Any] | RowFault]]:
    """Yield (line, object); RowFault for a line that is not one JSON object. Blank lines are skipped."""
    for number, text in enumerate(lines, start=1):
        if not text.strip():
            continue
        try:
            row = json.loads(text, parse_constant=_reject_constant)
        except (ValueError, RecursionError) as error:
            reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
            yield number, RowFault(f"malformed JSON: {reason}")
        else:
            yield number, row if isinstance(row, dict) else RowFault("not a JSON object")


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not valid in JSON")
