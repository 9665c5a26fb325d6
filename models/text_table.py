"""Plain-text tables for the terminal: the first column left-aligned, the others right-aligned."""

from collections.abc import Sequence


def format_text_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Format rows under a header; every row has as many cells as the header."""
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


def format_megabytes(count: float | None) -> str:
    return "-" if count is None else f"{count / 1e6:,.0f}"


def round_optional(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
