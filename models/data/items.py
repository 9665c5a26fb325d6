"""Item files in, one row per item out: its id, its title and its categories. It knows no catalogue and no index.

The formats are those of logs. Item files are small next to logs and people edit them by hand, so every row is read
with care, and the first bad one stops the read.
"""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl

from models.data.bad_rows import BadInput, BadRow
from models.data.columns import check_columns
from models.data.formats import DataFile, data_file, open_content, read_lines
from models.data.ids import MAX_ID_CHARS, REPLACEMENT, id_text, whole_text
from models.data.text_rows import SEPARATORS, Problem, csv_rows, json_rows, read_header

CATEGORY_COLUMNS = ("categories", "category", "genres", "genre", "attribute_ids")
CATEGORY_SEPARATOR = "|"
ITEMS = pl.Schema([("item_id", pl.String()), ("title", pl.String()), ("categories", pl.List(pl.String()))])


def read_items(path: Path | str) -> pl.DataFrame:
    """`item_id` String, `title` String or null, `categories` List(String), in file order, the first row of an item.

    Categories are a list, or text with `|` between them, under the first of CATEGORY_COLUMNS that is there; a title is
    optional. BadInput names file and line.
    """
    file = data_file(Path(path))
    if not file.path.is_file():
        raise BadInput(f"{file}: no such file")
    items: dict[str, tuple[str, str | None, list[str]]] = {}
    for line, row in _rows(file):
        try:
            if isinstance(row, Problem):
                raise ValueError(row.reason)
            item_id = _item_id(row)
            items.setdefault(item_id, (item_id, _text(row.get("title"), "title"), _categories(row)))
        except ValueError as error:
            raise BadInput(str(BadRow(str(file), line, str(error)))) from error
    if not items:
        raise BadInput(f"{file}: no items in it")
    return pl.DataFrame(list(items.values()), schema=ITEMS, orient="row")


def _rows(file: DataFile) -> Iterator[tuple[int, dict[str, Any] | Problem]]:
    if file.format == "parquet":
        yield from enumerate(_parquet_rows(file), start=1)
        return
    content = open_content(file)
    if file.format == "json":
        yield from json_rows(read_lines(content))
        return
    header = read_header(file, content)
    check_columns(str(file), ["item_id"], header, hint="")
    for line, cells in islice(csv_rows(read_lines(content), SEPARATORS[file.format]), 1, None):
        yield line, cells if isinstance(cells, Problem) else dict(zip(header, cells, strict=True))


def _parquet_rows(file: DataFile) -> Iterator[dict[str, Any]]:
    try:
        scan = pl.scan_parquet(file.path, glob=False)
        present = list(scan.collect_schema())
        check_columns(str(file), ["item_id"], present, hint="")
        wanted = [name for name in ("item_id", "title", *CATEGORY_COLUMNS) if name in present]
        yield from scan.select(wanted).collect().iter_rows(named=True)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise BadInput(f"{file}: cannot be read: {error}") from error


def _item_id(row: dict[str, Any]) -> str:
    item_id = id_text(row.get("item_id"), "item_id")
    if not item_id:
        raise ValueError("no item_id")
    if len(item_id) > MAX_ID_CHARS:
        raise ValueError(f"item_id is longer than {MAX_ID_CHARS} characters")
    return _text(item_id, "item_id") or ""


def _categories(row: dict[str, Any]) -> list[str]:
    name = next((name for name in CATEGORY_COLUMNS if name in row), None)
    value = None if name is None else row[name]
    if isinstance(value, str):
        value = value.split(CATEGORY_SEPARATOR)
    if not isinstance(value, list):
        value = [value]
    texts = [(_text(part, str(name)) or "").strip() for part in value]
    return list(dict.fromkeys(text for text in texts if text))


def _text(value: object, name: str) -> str | None:
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"{name} is neither text nor a number")
    text = whole_text(str(value))
    if REPLACEMENT in text:
        raise ValueError(f"{name} is no valid UTF-8")
    return text
