"""Columns of an items file that are named: a header must have them, a row of JSON may lack them."""

from pathlib import Path

import pytest

from models.data.bad_rows import BadInput
from models.data.columns import parse_columns
from models.data.items import read_items
from models.data.read_options import ReadOptions

NAMED = ReadOptions(parse_columns("item=sku,title=name,categories=dept"))


def test_row_of_json_may_lack_a_named_title_or_category(tmp_path: Path) -> None:
    rows = ['{"sku": 1, "name": "A", "dept": ["x"]}', '{"sku": 2, "dept": ["y"]}', '{"sku": 3, "NAME": "C"}']
    (tmp_path / "i.jsonl").write_text("\n".join(rows) + "\n")
    assert read_items(tmp_path / "i.jsonl", NAMED).rows() == [("1", "A", ["x"]), ("2", None, ["y"]), ("3", "C", [])]


def test_row_of_json_needs_its_id(tmp_path: Path) -> None:
    (tmp_path / "i.jsonl").write_text('{"sku": 1, "name": "A"}\n{"name": "B"}\n')
    with pytest.raises(BadInput, match=r"i\.jsonl:2: no item_id"):
        read_items(tmp_path / "i.jsonl", NAMED)


def test_header_needs_every_named_column(tmp_path: Path) -> None:
    (tmp_path / "i.csv").write_text("sku,name\n1,A\n")
    with pytest.raises(BadInput, match="no column 'dept'"):
        read_items(tmp_path / "i.csv", NAMED)
