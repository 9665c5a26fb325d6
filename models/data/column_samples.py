"""The columns of a log with their first values, for suggestions and for people who name them."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import polars as pl

from models.data.column_names import suggest_columns
from models.data.columns import REQUIRED, Columns, format_option
from models.data.content import open_content, read_lines
from models.data.file_columns import read_parquet_head
from models.data.formats import DataFile
from models.data.json_rows import list_keys, sample_objects
from models.data.layouts import detect_layout
from models.data.read_options import ReadOptions
from models.data.text_rows import RowFault, is_real_time_text, parse_rows
from models.data.time_formats import find_time_formats

SAMPLE_ROWS = 64
SHOWN_COLUMNS = 40
SHOWN_VALUES = 3
SHOWN_CHARACTERS = 24
UNKNOWN = "…"


@dataclass(frozen=True, slots=True)
class ColumnSamples:
    """Distinct first values by column; `separator` is that of delimited text, else None."""

    values: dict[str, list[str]]
    separator: str | None = None

    @property
    def names(self) -> list[str]:
        return list(self.values)

    def suggest_roles(self) -> dict[str, str]:
        """Map roles to columns by usual names; the time also to the only column whose values are times."""
        roles = suggest_columns(self.names)
        if "time" not in roles:
            others = [name for name in self.values if name not in roles.values()]
            times = [name for name in others if _are_times(self.values[name])]
            roles |= {"time": times[0]} if len(times) == 1 else {}
        return roles

    def make_table(self) -> tuple[list[str], list[list[str]]]:
        """Head and rows of a table of the columns: name, probable role, first values."""
        roles = {name: role for role, name in self.suggest_roles().items()}
        rows = [[_shorten(name), roles.get(name, ""), _format_values(texts)] for name, texts in self.values.items()]
        more = len(rows) - SHOWN_COLUMNS
        shown = rows[:SHOWN_COLUMNS] + ([[f"and {more:,} more", "", ""]] if more > 0 else [])
        return ["column", "probably", "first values"], shown

    def format_advice(self, columns: Columns) -> str:
        """Format `--columns` with the columns that exist or are probable, and a gap for each that a person fills in."""
        roles = self.suggest_roles() | {
            role: name for role, name in zip(REQUIRED, columns.names, strict=True) if name in self.values
        }
        option = format_option({role: roles.get(role, UNKNOWN) for role in REQUIRED})
        return option if "time" in roles else f"{option}, or without times --order file instead of time={UNKNOWN}"


def sample_columns(file: DataFile, options: ReadOptions) -> ColumnSamples:
    """Read the columns and first rows of a file; BadInput if it cannot be read."""
    if file.format == "parquet":
        head = read_parquet_head(file, SAMPLE_ROWS)
        return ColumnSamples({name: _list_distinct(head[name].to_list()) for name in head.columns})
    content = open_content(file, options.encoding)
    if file.format == "json":
        objects = sample_objects(str(file), content)
        return ColumnSamples({key: _list_distinct(row.get(key) for row in objects) for key in list_keys(objects)})
    layout, _ = detect_layout(file, content, options)
    lines = islice(read_lines(content), SAMPLE_ROWS + 1)
    parsed = parse_rows(lines, layout.separator, is_quoted=layout.is_quoted, is_padded=layout.is_padded)
    rows = [cells for _, cells in islice(parsed, layout.header_rows, None) if not isinstance(cells, RowFault)]
    return ColumnSamples(dict(_iter_columns(layout.header, rows)), layout.separator)


def _iter_columns(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[tuple[str, list[str]]]:
    for place, name in enumerate(header):
        yield name, _list_distinct(cells[place] for cells in rows if place < len(cells))


def _list_distinct(values: Iterable[object]) -> list[str]:
    return list(dict.fromkeys(str(value) for value in values if value not in (None, "")))


def _are_times(texts: Sequence[str]) -> bool:
    return bool(texts) and (all(map(is_real_time_text, texts)) or bool(find_time_formats(pl.Series(texts))))


def _format_values(texts: Sequence[str]) -> str:
    return ", ".join(map(_shorten, texts[:SHOWN_VALUES])) + (", …" if len(texts) > SHOWN_VALUES else "")


def _shorten(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[: SHOWN_CHARACTERS - 1]}…"
