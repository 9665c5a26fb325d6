"""Detect how a delimited text is laid out: separator, quotes, header, blanks around cells.

`.csv` files quote cells as in RFC 4180. In other files a quote is a character, unless a cell of the header is quoted.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice

from models.data.bad_rows import BadInput
from models.data.column_names import suggest_columns
from models.data.columns import Columns, format_option
from models.data.content import Content, read_lines
from models.data.formats import DataFile
from models.data.public_formats import PublicLayout, list_layouts, suggest_format
from models.data.read_options import ReadOptions
from models.data.text_rows import RowFault, is_date_text, is_real_time_text, is_time_text, parse_rows

QUOTED_SEPARATORS = (",", ";", "|")
CANDIDATES = {
    "csv": (",", ";", "\t", "|", "::"),
    "tsv": ("\t", ",", ";", "|"),
    "text": ("::", "\t", ",", ";", "|", " "),
}
SEPARATOR_LABELS = {"\t": "tab", " ": "space"}
SAMPLE_LINES = 64
_TYPE_SUFFIX = re.compile(r":(?:token|float|token_seq|float_seq)$")


@dataclass(frozen=True, slots=True)
class TextLayout:
    """Layout of a delimited text.

    `header` are the names of the columns, or their numbers from 1; `header_rows` are 0 or 1. `is_quoted`: cells may be
    quoted. `is_padded`: blanks around cells are not part of them.
    """

    separator: str
    is_quoted: bool
    header: list[str]
    header_rows: int = 1
    is_padded: bool = False

    @property
    def label(self) -> str:
        return SEPARATOR_LABELS.get(self.separator, repr(self.separator))

    def describe(self, file: DataFile) -> tuple[str, ...]:
        """State what differs from a plain file of its suffix."""
        notes = []
        if self.separator != CANDIDATES[file.format][0]:
            notes.append(f"cells are separated by {self.label}")
        if self.is_padded:
            notes.append("blanks around cells are dropped")
        if not self.header_rows:
            notes.append("the first line is read as a row, not as a header")
        return tuple(notes)


def detect_layout(file: DataFile, content: Content, options: ReadOptions) -> tuple[TextLayout, ReadOptions]:
    """Return the layout of a file and the options for it, with the columns and the encoding of a public format.

    BadInput if the file has no rows, or is not in the format that the options name.
    """
    lines = list(islice(read_lines(content), SAMPLE_LINES))
    candidates = CANDIDATES[file.format] if options.separator is None else (options.separator,)
    layouts = [layout for separator in candidates if (layout := _read_layout(lines, separator)) is not None]
    if not layouts:
        raise BadInput(f"{file}: no header: the file has no rows")
    if options.separator is not None and len(layouts[0].header) == 1:
        raise BadInput(f"{file}: the first line has no {layouts[0].label}; leave out --separator to detect it")
    columns = options.columns or Columns()
    if options.format is not None:
        layout, public = _find_public_layout(file, layouts, options.format)
        columns = options.columns or public.columns
        options = replace(options, file_order=options.file_order or public.has_order_only)
    else:
        layout = _choose_by_columns(layouts, columns, options)
    options = replace(options, columns=columns)
    if columns.is_numbered:
        layout = _number_columns(layout, columns)
    return layout, options


def detect_item_layout(
    file: DataFile, content: Content, options: ReadOptions, id_names: Sequence[str]
) -> tuple[TextLayout, Columns]:
    """Return the layout of an items file, and its columns, which are numbers for a file without a header.

    `id_names` are possible names of the id column.
    """
    lines = list(islice(read_lines(content), SAMPLE_LINES))
    # The separator of the options is that of the log, which may differ.
    candidates = (*([] if options.separator is None else [options.separator]), *CANDIDATES[file.format])
    layouts = [layout for separator in candidates if (layout := _read_layout(lines, separator)) is not None]
    if not layouts:
        raise BadInput(f"{file}: no header: the file has no rows")
    widest = max(layouts, key=lambda each: len(each.header))
    columns = options.columns or Columns()
    for public in () if options.format is None else list_layouts(options.format):
        if public.columns.catalogue_item is not None and public.separator == widest.separator:
            columns, id_names = public.columns, [public.columns.catalogue_item]
    if id_names[0].isdecimal() and columns.catalogue_item is not None:
        numbers = [str(number) for number in range(1, len(widest.header) + 1)]
        return replace(widest, header=numbers, header_rows=0), columns
    return next((each for each in layouts if set(id_names) & set(each.header)), widest), columns


def describe_rename(columns: Columns, header: Sequence[str], separator: str | None, *, needs_time: bool = True) -> str:
    """A hint for a missing column: the options that probably fit the header."""
    if separator is not None and (numbers := suggest_numbers(header)):
        name = suggest_format(list(header), separator, find_time_columns(header))
        other = "" if name is None else f", or --format {name}"
        return (
            "; the first line looks like a row: for a file without a header give numbers, such as "
            f"{format_option(numbers)}{other}"
        )
    suggested = suggest_columns(header)
    names = {
        role: name if name in header else suggested.get(role, "…")
        for role, name in zip(("user", "item", "time"), columns.names, strict=True)
    }
    if not needs_time:
        del names["time"]
    format_name = suggest_format(list(header), separator)
    other = "" if format_name is None else f", or --format {format_name}"
    order = ""
    if needs_time and names["time"] == "…":
        del names["time"]
        order = (
            "; no column has a usual name of times: `nextup inspect` finds it by its values, to be named with time=…; "
            "if there is none and rows are in the order of events, add --order file"
        )
    return f" (rename with {format_option(names)}{other}){order}"


def find_time_columns(cells: Sequence[str]) -> list[int]:
    """Numbers, from 1, of the cells of a row that are times."""
    times = [number for number, cell in enumerate(cells, 1) if is_real_time_text(cell)]
    dates = [number for number in times if is_date_text(cells[number - 1])]
    return dates or times  # next to a date, a large number is an id


def suggest_numbers(cells: Sequence[str]) -> dict[str, str]:
    """Numbers of the columns that probably have the roles, by the first row of a file without a header."""
    times = find_time_columns(cells)
    ids = [number for number in range(1, len(cells) + 1) if number not in times]
    if not times or len(ids) < len(("user", "item")):
        return {}
    return {"user": str(ids[0]), "item": str(ids[1]), "time": str(times[-1])}


def _read_layout(lines: Sequence[str], separator: str) -> TextLayout | None:
    """Layout by this separator; None if there is no first row."""
    first = next((line for line in lines if line.strip("\r\n")), None)
    if first is None:
        return None
    is_quoted = separator in QUOTED_SEPARATORS or (separator == "\t" and _has_quoted_cell(first, separator))
    cells = _parse_first_row(lines, separator, is_quoted=is_quoted, is_padded=False)
    is_padded = separator != " " and any(cell != cell.strip(" ") for cell in cells)
    if is_padded:
        cells = _parse_first_row(lines, separator, is_quoted=is_quoted, is_padded=True)
    header = [cell.strip() for cell in cells]
    if all(_TYPE_SUFFIX.search(name) for name in header):  # RecBole
        header = [_TYPE_SUFFIX.sub("", name) for name in header]
    return TextLayout(separator, is_quoted, header, is_padded=is_padded)


def _parse_first_row(lines: Sequence[str], separator: str, *, is_quoted: bool, is_padded: bool) -> list[str]:
    rows = parse_rows(lines, separator, is_quoted=is_quoted, is_padded=is_padded)
    _, cells = next(rows)
    if isinstance(cells, RowFault):  # so that the error about missing columns shows the line
        return next(line for line in lines if line.strip("\r\n")).rstrip("\r\n").split(separator)
    return cells


def _has_quoted_cell(line: str, separator: str) -> bool:
    cells = line.rstrip("\r\n").split(separator)
    return any(len(cell) > 1 and cell[0] == cell[-1] == '"' for cell in cells)


def _find_public_layout(file: DataFile, layouts: list[TextLayout], name: str) -> tuple[TextLayout, PublicLayout]:
    for public in list_layouts(name):
        for layout in layouts:
            if public.is_layout_of(layout.header, layout.separator):
                return layout, public
    widest = max(layouts, key=lambda each: len(each.header))
    raise BadInput(
        f"{file}: not in the format {name}: its first line has {len(widest.header)} cells separated by "
        f"{widest.label}; leave out --format and use --columns and --separator"
    )


def _choose_by_columns(layouts: list[TextLayout], columns: Columns, options: ReadOptions) -> TextLayout:
    """The first layout that has all columns, else the one with the most cells."""
    required = columns.names[:2] if options.file_order else columns.names
    widest = max(layouts, key=lambda each: len(each.header))  # the first of equals, the default of the suffix
    if columns.is_numbered:
        return widest
    lowered = {name.lower() for name in required}
    return next((each for each in layouts if lowered <= {name.lower() for name in each.header}), widest)


def _number_columns(layout: TextLayout, columns: Columns) -> TextLayout:
    """Replace names by numbers; the first row is a header if it has no time where rows have one."""
    time = int(columns.time) - 1 if columns.time.isdecimal() else -1
    is_row = not 0 <= time < len(layout.header) or is_time_text(layout.header[time])
    numbers = [str(number) for number in range(1, len(layout.header) + 1)]
    return replace(layout, header=numbers, header_rows=0 if is_row else 1)
