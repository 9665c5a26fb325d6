"""Item files of every format give the same table."""

import datetime as dt
import io
import json
import math
from pathlib import Path

import polars as pl
import pytest

from models.data.bad_rows import BadInput
from models.data.columns import parse_columns
from models.data.items import match_items, read_items
from models.data.read_options import ReadOptions
from service_tests.models.data.log_texts import TEXT_KINDS, compress, write_rows


@pytest.mark.parametrize("kind", TEXT_KINDS)
def test_text_item_files_are_read(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"items{kind}"
    title = 'A "title", two\nlines'
    if "json" in kind:
        objects = [
            {"item_id": "01", "title": title, "genres": ["Ä", "b|c", "Ä"], "year": 1999},
            {"item_id": 2, "title": 1984, "genres": "x| y||x"},
            {"item_id": "01", "title": "again"},
            {"item_id": "3"},
        ]
        text, first = "\n".join(map(json.dumps, objects)), ["Ä", "b|c"]
    else:
        out = io.StringIO()
        write_rows(
            out,
            kind,
            [
                ("title", "item_id", "genres", "year"),
                (title, "01", "Ä|b|c|Ä", 1999),
                ("1984", 2, "x| y||x", ""),
                ("again", "01", "", ""),
                ("", 3, "", ""),
            ],
        )
        text, first = out.getvalue(), ["Ä", "b", "c"]
    path.write_bytes(compress(text.encode(), path.name))
    items = read_items(path)
    assert items.schema == {"item_id": pl.String, "title": pl.String, "categories": pl.List(pl.String)}
    assert items.rows() == [("01", title, first), ("2", "1984", ["x", "y"]), ("3", None, [])]


@pytest.mark.parametrize("column", ["categories", "category", "genres", "genre", "attribute_ids"])
def test_parquet_categories_are_read_from_every_column_name(tmp_path: Path, column: str) -> None:
    pl.DataFrame({"item_id": [7, 8], column: [[5, 6], None], "zzz": [1, 2]}).write_parquet(tmp_path / "i.parquet")
    assert read_items(tmp_path / "i.parquet").rows() == [("7", None, ["5", "6"]), ("8", None, [])]


def test_category_column_is_selected_by_preference(tmp_path: Path) -> None:
    (tmp_path / "i.csv").write_text("item_id,genre,category\n1,g,c\n")
    assert read_items(tmp_path / "i.csv")["categories"].to_list() == [["c"]]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("i.csv", b"item_id,title\n1,a\n,b\n", r"i\.csv:3: no item_id"),
        ("i.csv", b"item_id,title\n1,a\n2,b,c\n", r"i\.csv:3: 3 fields, the first line has 2"),
        ("i.csv", b"item_id,title\n1,\xe9\n", r"i\.csv:2: title is not valid UTF-8"),
        ("i.csv", b"item_id\n" + b"x" * 129, r"i\.csv:2: item_id is longer than 128"),
        ("i.csv", b"item_id\n\xe9\n", r"i\.csv:2: item_id is not valid UTF-8"),
        (
            "i.csv",
            b"movie,title\n1,a\n",
            r"i\.csv: no column 'item_id'; it has movie, title \(name the id column with --columns items.item=movie\)$",
        ),
        ("i.csv", b"item_id\n", r"i\.csv: the file has no items"),
        ("i.jsonl", b'{"item_id": 1}\n{"item_id": 1.5}', r"i\.jsonl:2: item_id is neither"),
        ("i.jsonl", b'{"item_id": 1, "genres": {"a": 1}}', r"i\.jsonl:1: genres is neither text nor a number"),
        ("i.jsonl", b'{"item_id": 1, "title": ["a"]}', r"i\.jsonl:1: title is neither"),
        ("i.jsonl", b"{]", r"i\.jsonl:1: malformed JSON"),
        ("i.parquet", b"?", r"i\.parquet: cannot be read"),
    ],
)
def test_bad_item_row_error_names_file_and_line(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput, match=reason):
        read_items(tmp_path / name)


def test_missing_file_error_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"i\.csv: no such file"):
        read_items(tmp_path / "i.csv")


@pytest.mark.parametrize(
    ("header", "text", "columns"),
    [
        ("sku,name,dept", "1,A,x|y\n", "items.item=sku,title=name,categories=dept"),
        ("product,name,dept", "1,A,x|y\n", "item=product,title=name,categories=dept"),
        ("item_id;title;genre", "1;A;x|y\n", "item=product"),
        ("", "1::A::x|y\n", "items.item=1,title=2,categories=3"),
    ],
)
def test_columns_of_the_items_file_can_be_named(tmp_path: Path, header: str, text: str, columns: str) -> None:
    path = tmp_path / ("i.csv" if header else "i.dat")
    path.write_text(f"{header}\n{text}" if header else text)
    assert read_items(path, ReadOptions(parse_columns(columns))).rows() == [("1", "A", ["x", "y"])]


def test_items_of_a_public_format_are_read(tmp_path: Path) -> None:
    (tmp_path / "movies.dat").write_bytes("1::Amélie (2001)::Comedy|Romance\n".encode("latin-1"))
    items = read_items(tmp_path / "movies.dat", ReadOptions(format="movielens", encoding="latin-1"))
    assert items.rows() == [("1", "Amélie (2001)", ["Comedy", "Romance"])]


def test_items_file_follows_the_id_rule_of_logs(tmp_path: Path) -> None:
    (tmp_path / "i.csv").write_text("item_id,title\n5.0,A\n1.5,B\n")
    assert read_items(tmp_path / "i.csv")["item_id"].to_list() == ["5", "1.5"]


def test_parquet_is_read_from_standard_input_and_nan_is_an_empty_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    content = io.BytesIO()
    pl.DataFrame({"item_id": [1, 2], "title": [3.0, math.nan], "category": [math.nan, 4.5]}).write_parquet(content)
    content.seek(0)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(content))
    assert read_items("-").rows() == [("1", "3.0", []), ("2", None, ["4.5"])]


def test_items_file_that_matches_nothing_is_a_warning_with_both_ids(tmp_path: Path) -> None:
    (tmp_path / "i.csv").write_text("item_id,title\nsku-1,A\n")
    items = read_items(tmp_path / "i.csv")
    warning = match_items("i.csv", ["17", "18"], items).describe()
    assert warning == (
        "i.csv describes none of the 2 items of the log: the log has ids such as '17', the file 'sku-1'; name its id "
        "column with --columns items.item=NAME"
    )
    assert match_items("i.csv", ["17", "sku-1"], items).describe() is None


@pytest.mark.parametrize("kind", TEXT_KINDS)
def test_attributes_of_text_files_have_types(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"items{kind}"
    header = ("item_id", "title", "brand", "price", "sale", "at", "available")
    cells = [("1", "A", "Lumen", 7.5, True, "2024-01-01T00:00:00Z", True), ("2", "B", "Argent", 8, False, "", True)]
    if "json" in kind:
        text = "\n".join(json.dumps(dict(zip(header, row, strict=True))) for row in cells)
    else:
        out = io.StringIO()
        write_rows(
            out,
            kind,
            [header, *([str(cell).lower() if cell in (True, False) else cell for cell in row] for row in cells)],
        )
        text = out.getvalue()
    path.write_bytes(compress(text.encode(), path.name))
    values = read_items(path, attributes=None)["attributes"].to_list()
    assert [[(each["name"], each["text"], each["number"]) for each in item] for item in values] == [
        [("brand", "Lumen", None), ("price", None, 7.5), ("sale", "true", None)],
        [("brand", "Argent", None), ("price", None, 8.0), ("sale", "false", None)],
    ]
    chosen = read_items(path, attributes=("price",))["attributes"].to_list()
    assert [[each["name"] for each in item] for item in chosen] == [["price"], ["price"]]
    with pytest.raises(BadInput, match="'weight'"):
        read_items(path, attributes=("price", "weight"))


def test_json_items_may_have_attributes_in_one_object(tmp_path: Path) -> None:
    items = [
        {"item_id": 1, "attributes": {"brand": "Lumen", "tags": ["a", "b"], "not a name": 1}},
        {"item_id": 2, "x": 4},
    ]
    (tmp_path / "i.jsonl").write_text("\n".join(map(json.dumps, items)))
    rows = read_items(tmp_path / "i.jsonl", attributes=None)["attributes"].to_list()
    assert [[(each["name"], each["text"], each["number"]) for each in item] for item in rows] == [
        [("brand", "Lumen", None), ("tags", "a", None), ("tags", "b", None)],
        [("x", None, 4.0)],
    ]


def test_parquet_attributes_are_read_by_type_and_dates_are_left_out(tmp_path: Path) -> None:
    table = pl.DataFrame(
        {
            "item_id": [7, 8],
            "day": [dt.date(2024, 1, 1), None],
            "price": pl.Series(["1.50", None]).cast(pl.Decimal(10, 2)),
            "ids": [[5, 6], []],
            "rate": [math.nan, math.inf],
        }
    )
    table.write_parquet(tmp_path / "i.parquet")
    rows = read_items(tmp_path / "i.parquet", attributes=None)["attributes"].to_list()
    assert [[(each["name"], each["text"], each["number"]) for each in item] for item in rows] == [
        [("price", None, 1.5), ("ids", "5", None), ("ids", "6", None)],
        [],
    ]


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        (
            "i.jsonl",
            '{"item_id": 1, "price": 7}\n{"item_id": 2, "price": "12.99"}\n{"item_id": 3, "price": 9}\n'
            '{"item_id": 4, "attributes": {"price": "n/a"}}\n{"item_id": 5, "price": 8, "size": "7"}\n'
            '{"item_id": 6, "price": "", "size": {"kg": 7}}\n{"item_id": 1, "price": "again"}\n',
            "2: attribute 'price' is a text ('12.99') here and in 1 more row, and a number in 3 rows; bins hold "
            "numbers only, so write numbers without quotes",
        ),
        (
            "i.csv",
            "item_id,price,sku,model\n1,7,007,A1\n2, ,12,22\n3,call us,13,B3\n4,9.5,14,C4\n",
            "4: attribute 'price' is no number ('call us') here, so the numbers of 2 other rows are loaded as texts "
            "too; bins hold numbers only, so correct or empty these cells",
        ),
    ],
)
def test_texts_among_numbers_are_warned_of_with_the_line(tmp_path: Path, name: str, text: str, expected: str) -> None:
    path, warnings = tmp_path / name, list[str]()
    path.write_text(text)
    read_items(path, attributes=None, warn=warnings.append)
    assert warnings == [f"warning: {path}:{expected}"]
    read_items(path, attributes=("price",), warn=warnings.append)
    assert len(warnings) == 2
    read_items(path, warn=warnings.append)  # reads no attributes
    assert len(warnings) == 2


@pytest.mark.parametrize(
    ("text", "has_effect"),
    [
        ("item_id,name,kind\n17,Lamp,light\n", False),
        ("item_id,title,categories\n17,,\nsku-1,Lamp,light\n", False),
        ("item_id,title,categories\n17,Lamp,\n", True),
        ("item_id,title,categories\n17,,light\n", True),
    ],
)
def test_items_file_without_texts_for_the_log_is_a_warning(tmp_path: Path, text: str, has_effect: bool) -> None:
    (tmp_path / "i.csv").write_text(text)
    warning = match_items("i.csv", ["17", "18"], read_items(tmp_path / "i.csv")).describe()
    expected = (
        "i.csv has neither a title nor a category of an item of the log; name their columns with "
        "--columns title=NAME,categories=NAME"
    )
    assert warning == (None if has_effect else expected)
