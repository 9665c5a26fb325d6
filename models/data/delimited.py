"""Read delimited text, fast where the text is provably simple, else row by row; both give the same rows.

polars accepts and misreads faulty text: missing cells, quotes that swallow lines. So it reads only a text in which
every line is one row: without quotes the number of separators decides, with quotes a strict grammar.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import islice

import polars as pl

from models.data.content import Content, read_lines, split_lines
from models.data.layouts import TextLayout
from models.data.text_facts import TextFacts, is_fully_quoted, scan_text
from models.data.text_rows import RowFault, is_time_text, parse_rows

CHUNK_ROWS = 100_000


def read_delimited(
    content: Content, layout: TextLayout, names: dict[str, str], facts: TextFacts | None = None
) -> pl.DataFrame:
    """Return a String column per entry of `names` (column by result name), `line` from 1 and `fault`.

    `fault` is the reason why a row cannot be parsed, else null.
    """
    frame = read_delimited_fast(content, layout, names, facts)
    return read_delimited_by_line(content, layout, names) if frame is None else frame


def read_delimited_fast(
    content: Content, layout: TextLayout, names: dict[str, str], facts: TextFacts | None = None
) -> pl.DataFrame | None:
    """None unless every line is a row with all cells."""
    facts = facts or scan_text(content)
    has_quotes = layout.is_quoted and facts.has_quotes
    starts_blank = not next(read_lines(content)).strip("\r\n")
    # polars overlooks an additional empty cell at the end of the text.
    ends_open = facts.last_byte == layout.separator[-1:].encode()[-1:]
    if facts.has_stray_returns or starts_blank or ends_open or (has_quotes and layout.is_padded):
        return None
    try:
        separator, width = layout.separator.encode(), len(layout.header)
        is_plain = has_quotes and len(separator) == 1 and is_fully_quoted(content, separator, width)
        if has_quotes and not is_plain and not split_lines(content).str.contains(_build_grammar(layout)).all():
            return None
        cells = _split_cells(content, layout, facts, has_quotes=has_quotes)
        if cells is not None and is_plain and cells[f"c{width - 1}"].null_count():
            return None  # a line has fewer cells, and another one more
    except (OSError, pl.exceptions.PolarsError):
        return None
    if cells is None:
        return None
    columns = {result: cells[f"c{layout.header.index(name)}"].alias(result) for result, name in names.items()}
    if layout.is_padded:
        columns = {result: column.str.strip_chars(" \t") for result, column in columns.items()}
    first = 1 + layout.header_rows
    lines = pl.int_range(first, first + cells.height, dtype=pl.Int64, eager=True).alias("line")
    return pl.DataFrame([*columns.values(), lines]).with_columns(fault=pl.lit(None, pl.String))


def read_delimited_by_line(content: Content, layout: TextLayout, names: dict[str, str]) -> pl.DataFrame:
    """Read any text row by row."""
    positions = [layout.header.index(name) for name in names.values()]
    time = layout.header.index(names["timestamp"]) if "timestamp" in names else None

    def is_row(cells: Sequence[str]) -> bool:
        return len(cells) == len(layout.header) and time is not None and is_time_text(cells[time])

    def iter_rows() -> Iterator[tuple[str | int | None, ...]]:
        rows = parse_rows(
            read_lines(content),
            layout.separator,
            is_quoted=layout.is_quoted,
            is_padded=layout.is_padded,
            is_row=is_row,
        )
        for line, cells in islice(rows, layout.header_rows, None):
            if isinstance(cells, RowFault):
                yield (*(None for _ in positions), line, cells.reason)
            else:
                yield (*(cells[position] for position in positions), line, None)

    return collect_rows(iter_rows(), list(names))


def collect_rows(rows: Iterator[tuple[str | int | None, ...]], names: Sequence[str]) -> pl.DataFrame:
    """Collect rows of these String columns, `line` and `fault`."""
    schema = {**dict.fromkeys(names, pl.String), "line": pl.Int64, "fault": pl.String}
    parts = [pl.DataFrame(schema=schema)]
    while chunk := list(islice(rows, CHUNK_ROWS)):
        parts.append(pl.DataFrame(chunk, schema=schema, orient="row"))
    return pl.concat(parts)


def _split_cells(content: Content, layout: TextLayout, facts: TextFacts, *, has_quotes: bool) -> pl.DataFrame | None:
    """All columns as c0, c1, …; None if a line is not a row with all cells."""
    width = len(layout.header)
    if len(layout.separator.encode()) > 1:
        lines = split_lines(content)
        if len(lines) != facts.lines or not _has_width(lines, layout):
            return None
        parts = lines.str.split_exact(layout.separator, width - 1).struct.rename_fields([f"c{n}" for n in range(width)])
        return parts.struct.unnest().slice(layout.header_rows)
    frame = pl.read_csv(
        content,
        has_header=False,
        skip_lines=layout.header_rows,
        schema={f"c{number}": pl.String for number in range(width)},
        separator=layout.separator,
        quote_char='"' if has_quotes else None,
        encoding="utf8-lossy",
        glob=False,
    )
    if frame.height + layout.header_rows != facts.lines:
        return None
    # A row with too few cells has null in the last column, as an empty cell has. The grammar has checked quoted rows.
    if not has_quotes and frame[f"c{width - 1}"].null_count() and not _has_width(split_lines(content), layout):
        return None
    return frame


def _has_width(lines: pl.Series, layout: TextLayout) -> bool:
    counts = lines.str.count_matches(layout.separator, literal=True)
    return bool((counts == len(layout.header) - 1).all())


def _build_grammar(layout: TextLayout) -> str:
    """Regular expression of a line that is one row: cells are quoted as a whole, or have no quotes."""
    separator = re.escape(layout.separator)
    cell = f'(?:"(?:[^"\\r]|"")*"|[^"{separator}\\r]*)'
    return f"^{cell}(?:{separator}{cell}){{{len(layout.header) - 1}}}$"
