"""What went wrong in a file of the outside: one bad row, the report of a whole read, and the error that stops one.

It knows no format and decides nothing: the readers say what is bad, the commands say how to tell people.
"""

from dataclasses import dataclass

MAX_EXAMPLES = 20
SHOWN = 5


class BadInput(ValueError):
    """A file, or an option about files, that cannot be used as it is; the message names it."""


@dataclass(frozen=True, slots=True)
class BadRow:
    """`line` counts from 1 as an editor does (a CSV header is line 1); in Parquet it is the number of the row."""

    file: str
    line: int
    reason: str

    def __str__(self) -> str:
        row = "row " if self.file.lower().endswith((".parquet", ".pq")) else ""
        return f"{self.file}:{row}{self.line}: {self.reason}"


@dataclass(frozen=True, slots=True)
class ReadReport:
    """`rows` are good and bad_rows ones together, without blank lines; `examples` the first MAX_EXAMPLES bad ones."""

    files: int
    rows: int
    bad_rows: int
    examples: tuple[BadRow, ...]

    def first_bad_rows(self) -> str:
        """A few examples, one per line, for an error message."""
        return "".join(f"\n  {row}" for row in self.examples[:SHOWN])
