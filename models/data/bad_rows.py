"""Faults of input files: a bad row, the report of a whole read, and the error that stops a read."""

from collections.abc import Mapping
from dataclasses import dataclass, field

MAX_EXAMPLES = 20
MAX_FORMATTED_EXAMPLES = 3


class BadInput(ValueError):
    """A file, or an option about files, that cannot be used; the message names it."""


class MissingColumn(BadInput):
    """A file does not have the column `name`; `file` is its name in messages."""

    def __init__(self, message: str, file: str, name: str) -> None:
        super().__init__(message)
        self.file = file
        self.name = name


@dataclass(frozen=True, slots=True)
class BadRow:
    """A skipped row of an input file.

    `line` counts from 1 as in an editor (a CSV header is line 1); in Parquet it is the row number.
    """

    file: str
    line: int
    reason: str

    def __str__(self) -> str:
        row = "row " if self.file.lower().endswith((".parquet", ".pq")) else ""
        return f"{self.file}:{row}{self.line}: {self.reason}"


@dataclass(frozen=True, slots=True)
class ReadReport:
    """Counts of a read: `rows` include bad ones and duplicates, but no blank lines.

    `examples` are the first MAX_EXAMPLES bad rows; `reasons` count bad rows by kind of fault, most frequent first.
    `duplicates` are rows whose event occurred before. `notes` state the conventions by which the files were read.
    """

    files: int
    rows: int
    bad_rows: int
    examples: tuple[BadRow, ...]
    reasons: Mapping[str, int] = field(default_factory=dict)
    duplicates: int = 0
    notes: tuple[str, ...] = ()

    def format_examples(self) -> str:
        """Format a few bad rows for an error message."""
        return "; ".join(str(row) for row in self.examples[:MAX_FORMATTED_EXAMPLES])
