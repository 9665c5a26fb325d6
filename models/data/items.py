"""Read item files: id, title and categories of every item.

Formats are those of logs. Item files are small and often edited by hand, so every row is checked, and the first bad row
stops the read.
"""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl

from models.data.bad_rows import BadInput, BadRow
from models.data.columns import check_columns
from models.data.fields import MAX_ID_CHARS, REPLACEMENT, parse_json_id, replace_lone_surrogates
from models.data.formats import DataFile, open_content, parse_file_name, read_lines
from models.data.text_rows import SEPARATORS, RowFault, parse_csv, parse_json_lines, read_header

CATEGORY_COLUMNS = ("categories", "category", "genres", "genre", "attribute_ids")
CATEGORY_SEPARATOR = "|"
ITEM_SCHEMA = pl.Schema([("item_id", pl.String()), ("title", pl.String()), ("categories", pl.List(pl.String()))])


def read_items(path: Path | str) -> pl.DataFrame:
    """Read `item_id` String, `title` String or null, `categories` List(String), in file order.

    The first row of a duplicate item wins. Categories are a list, or text separated by `|`, in the first of
    CATEGORY_COLUMNS that exists; titles are optional. BadInput names file and line.
    """
    file = parse_file_name(Path(path))
    if not file.path.is_file():
        raise BadInput(f"{file}: no such file")
    items: dict[str, tuple[str, str | None, list[str]]] = {}
    for line, row in _iter_rows(file):
        try:
            if isinstance(row, RowFault):
                raise ValueError(row.reason)
            item_id = _parse_item_id(row)
            items.setdefault(item_id, (item_id, _parse_text(row.get("title"), "title"), _parse_categories(row)))
        except ValueError as error:
            raise BadInput(str(BadRow(str(file), line, str(error)))) from error
    if not items:
        raise BadInput(f"{file}: the file has no items")
    return pl.DataFrame(list(items.values()), schema=ITEM_SCHEMA, orient="row")


def _iter_rows(file: DataFile) -> Iterator[tuple[int, dict[str, Any] | RowFault]]:
    if file.format == "parquet":
        yield from enumerate(_iter_parquet_rows(file), start=1)
        return
    content = open_content(file)
    if file.format == "json":
        yield from parse_json_lines(read_lines(content))
        return
    header = read_header(file, content)
    check_columns(str(file), ["item_id"], header, hint="")
    for line, cells in islice(parse_csv(read_lines(content), SEPARATORS[file.format]), 1, None):
        yield line, cells if isinstance(cells, RowFault) else dict(zip(header, cells, strict=True))


def _iter_parquet_rows(file: DataFile) -> Iterator[dict[str, Any]]:
    try:
        scan = pl.scan_parquet(file.path, glob=False)
        present = list(scan.collect_schema())
        check_columns(str(file), ["item_id"], present, hint="")
        selected = [name for name in ("item_id", "title", *CATEGORY_COLUMNS) if name in present]
        yield from scan.select(selected).collect().iter_rows(named=True)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise BadInput(f"{file}: cannot be read: {error}") from error


def _parse_item_id(row: dict[str, Any]) -> str:
    item_id = parse_json_id(row.get("item_id"), "item_id")
    if not item_id:
        raise ValueError("no item_id")
    if len(item_id) > MAX_ID_CHARS:
        raise ValueError(f"item_id is longer than {MAX_ID_CHARS} characters")
    return _parse_text(item_id, "item_id") or ""


def _parse_categories(row: dict[str, Any]) -> list[str]:
    name = next((name for name in CATEGORY_COLUMNS if name in row), None)
    value = None if name is None else row[name]
    if isinstance(value, str):
        value = value.split(CATEGORY_SEPARATOR)
    if not isinstance(value, list):
        value = [value]
    texts = [(_parse_text(part, str(name)) or "").strip() for part in value]
    return list(dict.fromkeys(text for text in texts if text))


def _parse_text(value: object, name: str) -> str | None:
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"{name} is neither text nor a number")
    text = replace_lone_surrogates(str(value))
    if REPLACEMENT in text:
        raise ValueError(f"{name} is not valid UTF-8")
    return text
