"""Items of a file for the live catalogue, row by row, under the rules of PUT /items."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

from app.cli.attribute_columns import AttributeColumns
from app.items.entries import parse_item
from app.items.schemas import Item, ItemResult
from models.data.attribute_columns import NESTED, PREFIX
from models.data.bad_rows import BadRow
from models.data.cell_types import CellType, convert_cell, find_cell_types
from models.data.columns import LIVE_FIELDS
from models.data.formats import DataFile, find_file
from models.data.item_rows import Row, iter_item_rows
from models.data.items import parse_categories, parse_item_id, parse_text
from models.data.mixed_values import MixedValues
from models.data.read_options import ReadOptions
from models.data.text_rows import RowFault

AVAILABLE_TEXTS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
MAX_DETAIL = 300
TEXT_EFFECT = "comparisons such as lt do not match texts"


@dataclass(slots=True)
class CatalogueFile:
    """A file of items; `columns` says which of its columns are attributes.

    Delimited text has no types: a column is numbers or truth values if all its cells are, which takes a read of its
    own.
    """

    file: DataFile
    options: ReadOptions
    columns: AttributeColumns
    cell_types: dict[str, CellType] = field(default_factory=dict)
    mixed: MixedValues = field(init=False)
    """Attributes of the items that were read."""

    def __post_init__(self) -> None:
        self.mixed = MixedValues(str(self.file), is_typed=self.file.is_typed, effect=TEXT_EFFECT)

    @classmethod
    def from_path(cls, path: Path, options: ReadOptions, attributes: list[str] | None) -> "CatalogueFile":
        """BadInput if there is no such file."""
        return cls(find_file(path), options, AttributeColumns(attributes))

    def iter_items(self) -> Iterator[Item | BadRow]:
        """Yield one item per row, or why the row is none; BadInput if the file cannot be read."""
        if not self.file.is_typed:
            self.cell_types = self._find_types()
        for line, row in self._iter_rows():
            if isinstance(row, RowFault):
                yield BadRow(str(self.file), line, row.reason)
                continue
            try:
                result = parse_item(self._build_item(row), Item)
            except ValueError as error:
                yield BadRow(str(self.file), line, str(error))
                continue
            if isinstance(result, ItemResult):
                yield BadRow(str(self.file), line, (result.detail or "invalid")[:MAX_DETAIL])
            else:
                self.mixed.add(line, result.attributes)
                yield result

    def format_lines(self) -> list[str]:
        """Format how the file was read: types of cells, columns that are not loaded, and texts among numbers."""
        types = ", ".join(f"{name} ({cell_type})" for name, cell_type in self.cell_types.items())
        lines = [f"attributes: {types}"] if types else []
        return [*lines, *self.columns.format_lines(), *self.mixed.format_lines()]

    def _iter_rows(self) -> Iterator[tuple[int, Row | RowFault]]:
        return iter_item_rows(self.file, self.options, self.columns.make_finder(has_header=self.file.format != "json"))

    def _find_types(self) -> dict[str, CellType]:
        rows = (row for _, row in self._iter_rows() if not isinstance(row, RowFault))
        return find_cell_types(
            {name.removeprefix(PREFIX): row[name] for name in row if name.startswith(PREFIX)} for row in rows
        )

    def _build_item(self, row: Row) -> dict[str, Any]:
        """Build the item of a row with the fields that it has; ValueError for a value that cannot be read."""
        item: dict[str, Any] = {"item_id": parse_item_id(row), "title": parse_text(row.get("title"), "title")}
        if not is_empty(row.get("categories")):
            item["categories"] = parse_categories(row)
        if not is_empty(available := row.get("available")):
            item["available"] = AVAILABLE_TEXTS.get(str(available).strip().lower().removesuffix(".0"), available)
        item |= {name: parse_text(row.get(name), name) for name in LIVE_FIELDS[1:]}
        attributes: dict[str, Any] = {}
        for target, value in row.items():
            if target.startswith(PREFIX):
                attributes |= self._convert(target.removeprefix(PREFIX), value)
        return item | {"attributes": attributes}

    def _convert(self, name: str, value: Any) -> dict[str, Any]:
        """Convert a value to the attributes that it holds: none for an empty one."""
        if is_empty(value):
            return {}
        if name == NESTED and isinstance(value, dict):
            return self.columns.select_nested(value)
        if not self.columns.includes(name):
            return {}
        if isinstance(value, str):
            text = parse_text(value, name) or ""
            if not text.strip():
                return {}
            return {name: convert_cell(text, self.cell_types.get(name, "text"))}
        if isinstance(value, date):
            return {name: _format_time(value)}
        if isinstance(value, Decimal):
            return {name: float(value)}
        is_plain = isinstance(value, bool | int | float) or (
            isinstance(value, list) and all(isinstance(each, str) for each in value)
        )
        if is_plain or self.columns.is_explicit:
            return {name: value}
        self.columns.leave_out(name, "it has values that are no number, truth value, text or list of texts")
        return {}


def is_empty(value: Any) -> bool:
    """Whether a cell is empty, which is NaN in a column of numbers that pandas wrote."""
    return value is None or value == "" or bool(value != value)


def _format_time(value: date) -> str:
    """Format a date or a time as RFC 3339; without a time zone it is UTC."""
    if not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day, tzinfo=UTC)
    value = value.replace(tzinfo=UTC) if value.tzinfo is None else value
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def iter_batches(items: Iterator[Item | BadRow], size: int) -> Iterator[list[Item | BadRow]]:
    while batch := list(islice(items, size)):
        yield batch
