"""Read item files: id, title, categories and attributes of every item.

Formats are those of logs. Item files are small and often edited by hand, so every row is checked, and the first bad row
stops the read.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from models.data.attribute_columns import check_seen, convert_cells, get_attributes, make_attribute_finder
from models.data.attribute_names import Attributes
from models.data.bad_rows import BadInput, BadRow
from models.data.fields import MAX_ID_CHARS, REPLACEMENT, parse_json_id, replace_lone_surrogates
from models.data.formats import find_file
from models.data.item_attributes import ATTRIBUTES, ATTRIBUTES_TYPE, make_attribute_rows
from models.data.item_rows import Row, iter_item_rows
from models.data.mixed_values import MixedValues
from models.data.read_options import ReadOptions
from models.data.text_rows import RowFault

CATEGORY_SEPARATOR = "|"
COLUMN_ADVICE = "name its id column with --columns items.item=NAME"
TEXT_EFFECT = "bins hold numbers only"
TEXT_ADVICE = "name their columns with --columns title=NAME,categories=NAME"
ITEM_SCHEMA = pl.Schema([("item_id", pl.String()), ("title", pl.String()), ("categories", pl.List(pl.String()))])


@dataclass(frozen=True, slots=True)
class ItemMatches:
    """How many of the log's items an items file describes; `describe` warns if it has none of them, or no texts."""

    file: str
    num_matches: int
    num_items: int
    log_id: str
    file_id: str
    has_texts: bool

    def describe(self, noun: str = "file", advice: str = COLUMN_ADVICE) -> str | None:
        if self.num_matches:
            if self.has_texts:
                return None
            more = f"; {TEXT_ADVICE}" if noun == "file" else ""
            return f"{self.file} has neither a title nor a category of an item of the log{more}"
        return (
            f"{self.file} describes none of the {self.num_items:,} items of the log: the log has ids such as "
            f"{self.log_id!r}, the {noun} {self.file_id!r}; {advice}"
        )


def read_items(
    path: Path | str,
    options: ReadOptions | None = None,
    attributes: Attributes = (),
    warn: Callable[[str], None] | None = None,
) -> pl.DataFrame:
    """Read `item_id` String, `title` String or null, `categories` List(String), in file order.

    The first row of a duplicate item wins. Categories are a list, or text separated by `|`. The columns are those of
    `options`; by default the id is that of the log or `item_id`, and categories are the first of CATEGORY_COLUMNS that
    exists; titles are optional. With `attributes` there is also their column (`item_attributes.py`), and `warn` gets a
    line for each one that is a text among numbers. BadInput names file and line.
    """
    options = options or ReadOptions()
    file = find_file(path)
    items: dict[str, tuple[str, str | None, list[str]]] = {}
    cells: list[dict[str, Any]] = []
    mixed = MixedValues(str(file), is_typed=file.is_typed, effect=TEXT_EFFECT)
    finder = make_attribute_finder(attributes, has_header=file.format != "json")
    for line, row in iter_item_rows(file, options, finder):
        try:
            if isinstance(row, RowFault):
                raise ValueError(row.reason)
            item_id = parse_item_id(row)
            item = (item_id, parse_text(row.get("title"), "title"), parse_categories(row))
        except ValueError as error:
            raise BadInput(str(BadRow(str(file), line, str(error)))) from error
        if item_id not in items:
            items[item_id] = item
            cells.append(get_attributes(row, attributes))
            mixed.add(line, cells[-1])
    if not items:
        raise BadInput(f"{file}: the file has no items")
    table = pl.DataFrame(list(items.values()), schema=ITEM_SCHEMA, orient="row")
    if attributes == ():
        return table
    check_seen(str(file), attributes, cells)
    if warn is not None:
        for warning in mixed.format_lines():
            warn(warning)
    values = cells if file.is_typed else convert_cells(cells)
    rows = pl.Series(ATTRIBUTES, [make_attribute_rows(each) for each in values], dtype=ATTRIBUTES_TYPE)
    return table.with_columns(rows)


def match_items(file: Path | str, item_ids: Sequence[str], items: pl.DataFrame) -> ItemMatches:
    """Count the items of a log that an items file describes."""
    described = set(items["item_id"].to_list())
    num_matches = sum(item_id in described for item_id in item_ids)
    has_text = pl.col("title").is_not_null() | (pl.col("categories").list.len() > 0)
    with_texts = set(items.filter(has_text)["item_id"].to_list())
    has_texts = any(item_id in with_texts for item_id in item_ids)
    return ItemMatches(str(file), num_matches, len(item_ids), item_ids[0], str(items["item_id"][0]), has_texts)


def parse_item_id(row: Row) -> str:
    item_id = parse_json_id(row.get("item_id"), "item_id")
    if not item_id:
        raise ValueError("no item_id")
    if len(item_id) > MAX_ID_CHARS:
        raise ValueError(f"item_id is longer than {MAX_ID_CHARS} characters")
    return parse_text(item_id, "item_id") or ""


def parse_categories(row: Row) -> list[str]:
    value, label = row.get("categories"), str(row.get("label", "categories"))
    if isinstance(value, str):
        value = value.split(CATEGORY_SEPARATOR)
    if not isinstance(value, list):
        value = [value]
    texts = [(parse_text(part, label) or "").strip() for part in value]
    return list(dict.fromkeys(text for text in texts if text))


def parse_text(value: object, name: str) -> str | None:
    if value is None or value == "" or value != value:  # NaN is an empty cell of pandas
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"{name} is neither text nor a number")
    text = replace_lone_surrogates(str(value))
    if REPLACEMENT in text:
        raise ValueError(f"{name} is not valid UTF-8; if the file has another encoding, pass --encoding")
    return text
