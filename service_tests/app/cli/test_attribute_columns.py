"""Requested attributes that no row has are reported, in whatever case the columns are written."""

from app.cli.attribute_columns import AttributeColumns
from models.data.columns import Columns


def test_requested_attribute_is_seen_in_a_column_of_another_case() -> None:
    columns = AttributeColumns(["Price", "Brand"])
    names = columns.make_finder(has_header=True)("i.csv", Columns(), ["item_id", "price", "Brand"])
    assert names == {"item_id": "item_id", "attributes.Price": "price", "attributes.Brand": "Brand"}
    assert columns.format_lines() == []


def test_requested_attribute_that_no_row_has_is_reported() -> None:
    columns = AttributeColumns(["Price", "Brand"])
    columns.make_finder(has_header=False)("i.jsonl", Columns(), ["item_id", "Brand"])
    assert columns.format_lines() == ["warning: no row has the attribute 'Price' of --attributes"]
