"""Plain-text tables for the terminal: the first column left-aligned, the others right-aligned."""

from collections.abc import Sequence

from models.printable import to_printable


def format_text_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Format rows under a header; every row has as many cells as the header.

    Cells are texts of users' files, of which only printable characters are shown.
    """
    rows = [[to_printable(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (head, *rows)
    )


def format_number(value: float | None, digits: int = 1) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


def format_duration(seconds: float) -> str:
    """Format a time with one unit: 12 s, 3.5 min, 4.2 h, 20 d."""
    for limit, divisor, unit in ((60, 1, "s"), (3600, 60, "min"), (86_400, 3600, "h")):
        if seconds < limit:
            return f"{seconds / divisor:.3g} {unit}"
    return f"{seconds / 86_400:,.3g} d"


def format_megabytes(count: float | None) -> str:
    return "-" if count is None else f"{count / 1e6:,.0f}"


def round_optional(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def format_bytes(count: float) -> str:
    """Format a number of bytes with a decimal unit: 12 B, 3.4 kB, 56.7 MB."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:,.1f} GB"
