"""`nextup items load`: files of every format become records of the live catalogue, under the rules of PUT /items."""

import asyncio
import json
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from app.cli.load_items import BATCH_ITEMS
from app.cli.options import CommandOptions
from app.commands.main import Invocation, main, parse
from app.commands.options.items import ItemsOptions
from app.commands.options.items_load import ItemsLoadOptions
from app.settings import Settings
from app.stores.item_records import AttributeValue, ItemRecord
from app.stores.live_items import CataloguePosition
from app.stores.redis.embedded import EmbeddedRedis
from app.stores.session import open_live_items
from service_tests.support.artifacts import write_tiny_artifact

pytestmark = pytest.mark.process

CSV = """item_id,title,categories,available,price,brand,sku,on_sale,url
i1,Lantern,drama|coast,true,7.5,Acme,007,true,https://shop.example/1
i2,,,no,,,12,,
i3,Harbor,drama,,8,Nord,13,false,
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis.start(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def url(server: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server without a live catalogue, which the command uses, too."""
    monkeypatch.setenv("NEXTUP_REDIS_URL", server.url)
    yield server.url
    asyncio.run(clear(server.url))


async def clear(url: str) -> None:
    async with open_live_items(url, Settings()) as store:
        await store.remove(list((await store.read_changes(CataloguePosition(), 10_000)).records))


def read_records(url: str, *item_ids: str) -> list[ItemRecord | None]:
    async def read() -> list[ItemRecord | None]:
        async with open_live_items(url, Settings()) as store:
            return await store.read(item_ids)

    return asyncio.run(read())


def load(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[dict[str, Any], str]:
    """Load a file; return the result and standard error."""
    assert main(["items", "load", *words]) == 0
    captured = capsys.readouterr()
    result: dict[str, Any] = json.loads(captured.out.splitlines()[-1])
    return result, captured.err


def parse_options(*words: str) -> CommandOptions:
    invocation = parse(["items", *words])
    assert isinstance(invocation, Invocation)
    return invocation.options


def count_statuses(result: dict[str, Any]) -> dict[str, int]:
    names = ("rows", "created", "updated", "unchanged", "invalid", "failed")
    return {name: result[name] for name in names if result[name]}


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def test_delimited_text_becomes_typed_records(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result, err = load(capsys, write(tmp_path / "items.csv", CSV))
    assert count_statuses(result) == {"rows": 3, "created": 3}
    assert "attributes: price (number), brand (text), sku (text), on_sale (boolean)" in err
    first: dict[str, AttributeValue] = {"price": 7.5, "brand": "Acme", "sku": "007", "on_sale": True}
    assert read_records(url, "i1", "i2", "i3") == [
        ItemRecord("Lantern", ("drama", "coast"), True, first, "https://shop.example/1"),
        ItemRecord(available=False, attributes={"sku": "12"}),
        ItemRecord("Harbor", ("drama",), True, {"price": 8, "brand": "Nord", "sku": "13", "on_sale": False}),
    ]


def test_second_load_changes_only_items_that_differ(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    load(capsys, write(tmp_path / "items.csv", CSV))
    result, _ = load(capsys, write(tmp_path / "items.csv", CSV.replace("Harbor", "Harbour")))
    assert count_statuses(result) == {"rows": 3, "updated": 1, "unchanged": 2}
    assert read_records(url, "i3")[0] == ItemRecord(
        "Harbour", ("drama",), True, {"price": 8, "brand": "Nord", "sku": "13", "on_sale": False}
    )


def test_columns_and_attributes_are_selectable(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "items.tsv", "sku\tname\tkind\tprice\tnote\n1.0\tLantern\ta|b\t7\tx\n")
    load(capsys, path, "--columns", "item=sku,title=name,categories=kind", "--attributes", "price")
    assert read_records(url, "1") == [ItemRecord("Lantern", ("a", "b"), True, {"price": 7})]


def test_file_without_a_header_has_numbered_columns(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "items.csv", "i1,Lantern,7\ni2,Harbor,8\n")
    _, err = load(capsys, path, "--columns", "item=1,title=2")
    assert "column 3 is not loaded: its name cannot be that of an attribute" in err
    assert read_records(url, "i1", "i2") == [ItemRecord("Lantern"), ItemRecord("Harbor")]


def test_json_lines_have_the_form_of_put_items(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    items = [
        {"item_id": 1, "title": "Lantern", "categories": ["a"], "attributes": {"price": 7, "old": None}},
        {"item_id": "2", "languages": ["en", "fr"], "available": False, "size": "12", "weights": {"kg": 1}},
    ]
    result, err = load(capsys, write(tmp_path / "items.jsonl", "\n".join(map(json.dumps, items))))
    assert count_statuses(result) == {"rows": 2, "created": 2}
    assert "column weights is not loaded" in err
    assert read_records(url, "1", "2") == [
        ItemRecord("Lantern", ("a",), True, {"price": 7}),
        ItemRecord(available=False, attributes={"languages": ["en", "fr"], "size": "12"}),
    ]


def test_attributes_inside_an_object_are_selectable(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    items = [
        {"item_id": "1", "attributes": {"price": 7, "brand": "Lumen", "size": None}},
        {"item_id": "2", "price": 8, "attributes": {"brand": "Argent"}},
        {"item_id": "3", "attributes": "none"},
    ]
    path = write(tmp_path / "items.jsonl", "\n".join(map(json.dumps, items)))
    _, err = load(capsys, path, "--attributes", "price,size")
    expected: list[dict[str, AttributeValue]] = [{"price": 7}, {"price": 8}, {}]
    assert read_records(url, "1", "2", "3") == [ItemRecord(attributes=each) for each in expected]
    assert [line for line in err.splitlines() if "--attributes" in line] == [
        "warning: no row has the attribute 'size' of --attributes"
    ]


def test_parquet_keeps_its_types(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    columns = {
        "item_id": [1, 2],
        "genres": [["a", "b"], None],
        "price": [7.5, float("nan")],
        "available": [0.0, float("nan")],
        "code": ["12", ""],
        "released": [datetime(2026, 5, 1, 12), None],
        "day": [date(2026, 5, 1), None],
    }
    pl.DataFrame(columns).write_parquet(tmp_path / "items.parquet")
    load(capsys, str(tmp_path / "items.parquet"))
    times = {"released": "2026-05-01T12:00:00Z", "day": "2026-05-01T00:00:00Z"}
    attributes: dict[str, AttributeValue] = {"price": 7.5, "code": "12", **times}
    assert read_records(url, "1", "2") == [
        ItemRecord(None, ("a", "b"), False, attributes),
        ItemRecord(),
    ]


def test_texts_among_numbers_are_reported_with_line_and_count(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prices: list[object] = [7, "12.99", 8.5, 9, "n/a", 10, 11, 12]
    items = [{"item_id": f"i{n}", "price": price, "sku": str(n), "size": n} for n, price in enumerate(prices)]
    path = write(tmp_path / "items.jsonl", "\n".join(map(json.dumps, items)))
    result, err = load(capsys, path)
    assert count_statuses(result) == {"rows": 8, "created": 8}
    warnings = [line for line in err.splitlines() if line.startswith("warning: ")]
    assert warnings == [
        f"warning: {path}:2: attribute 'price' is a text ('12.99') here and in 1 more row, and a number in 6 rows; "
        "comparisons such as lt do not match texts, so write numbers without quotes"
    ]
    assert [record and record.attributes["price"] for record in read_records(url, "i0", "i1")] == [7, "12.99"]


def test_cell_that_makes_a_column_of_numbers_texts_is_reported(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = ["i1,7,A1,007", "i2,12,22,12", "i3,call us,B3,13", "i4,9.5,C4,14", "i5,,D5,15"]
    path = write(tmp_path / "items.csv", "\n".join(["item_id,price,model,sku", *rows]))
    _, err = load(capsys, path)
    warnings = [line for line in err.splitlines() if line.startswith("warning: ")]
    assert warnings == [
        f"warning: {path}:4: attribute 'price' is no number ('call us') here, so the numbers of 3 other rows are "
        "loaded as texts too; comparisons such as lt do not match texts, so correct or empty these cells"
    ]
    assert [record and record.attributes["price"] for record in read_records(url, "i1", "i3")] == ["7", "call us"]


def test_invalid_rows_are_named_and_do_not_affect_the_others(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "item_id,available,url\ni1,perhaps,\n,true,\ni2,true,ftp://x\ni3,true\ni4,true,\n"
    result, err = load(capsys, write(tmp_path / "items.csv", text))
    assert count_statuses(result) == {"rows": 5, "created": 1, "invalid": 4}
    reasons = {line.removeprefix(f"{tmp_path}/items.csv:")[0]: line for line in err.splitlines() if ".csv:" in line}
    words = {"2": "available", "3": "no item_id", "4": "url", "5": "2 fields"}
    assert [line for line, word in words.items() if word not in reasons.get(line, "")] == []
    assert len(reasons) == len(words)
    assert read_records(url, "i1", "i4") == [None, ItemRecord()]


def test_file_of_several_batches_is_loaded_and_the_last_row_of_an_item_wins(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [f"i{number},{number}" for number in range(BATCH_ITEMS + 5)]
    result, _ = load(capsys, write(tmp_path / "items.csv", "\n".join(["item_id,price", *rows, "i0,99"])))
    assert count_statuses(result) == {"rows": BATCH_ITEMS + 6, "created": BATCH_ITEMS + 5, "updated": 1}
    assert [record and record.attributes for record in read_records(url, "i0", f"i{BATCH_ITEMS + 4}")] == [
        {"price": 99},
        {"price": BATCH_ITEMS + 4},
    ]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("items.csv", "sku,link,picture,stock\ni1,https://shop.test/1,https://shop.test/1.png,no\n"),
        (
            "items.jsonl",
            '{"sku": "i1", "link": "https://shop.test/1", "picture": "https://shop.test/1.png", "stock": false}\n'
            '{"sku": "i2"}\n',
        ),
    ],
)
def test_columns_map_the_fields_of_the_live_catalogue(url: str, tmp_path: Path, name: str, text: str) -> None:
    roles = "item=sku,url=link,image_url=picture,available=stock"
    assert main(["items", "load", write(tmp_path / name, text), "--columns", roles]) == 0
    [item] = read_records(url, "i1")
    assert item is not None
    assert (item.url, item.image_url) == ("https://shop.test/1", "https://shop.test/1.png")
    assert not item.available
    assert not item.attributes, "a column with a role is no attribute"


def test_full_catalogue_is_an_error_after_the_result(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEXTUP_CATALOGUE_MAX_ITEMS", "2")
    assert main(["items", "load", write(tmp_path / "items.csv", CSV)]) == 1
    captured = capsys.readouterr()
    assert count_statuses(json.loads(captured.out.splitlines()[-1])) == {"rows": 3, "created": 2, "failed": 1}
    assert "1 items are not loaded: the live catalogue is full (NEXTUP_CATALOGUE_MAX_ITEMS)" in captured.err


@pytest.mark.parametrize(
    ("text", "words", "message"),
    [
        ("item_id,price\n", [], "the file has no items"),
        ("item_id,url\ni1,x\n", [], "no item is valid, so none is loaded"),
        ("item_id,price\ni1,1\n", ["--attributes", "prize"], "no column 'prize'; it has item_id, price"),
        ("item_id,price\ni1,1\n", ["--attributes", "unit price"], "--attributes: 'unit price' cannot be"),
        ("sku,price\ni1,1\n", [], "it has sku, price (name the id column with --columns item=sku)"),
        ("Artikel,p\ni1,1\n", [], "it has Artikel, p (name the id column with --columns item=…)"),
        ("item_id,price\ni1,1\n", ["--columns", "item=sku"], "no column 'sku'; it has item_id, price"),
        (
            "item_id,price\ni1,1\n",
            ["--columns", "user=price"],
            "of the roles item, title, categories, items.item, available",
        ),
        ("item_id,link\ni1,x\n", ["--columns", "url=address"], "no column 'address'; it has item_id, link"),
        ("item_id," + ",".join(f"a{each}" for each in range(33)) + "\n", [], "name those to load with --attributes"),
    ],
)
def test_mistakes_are_one_line(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, words: list[str], message: str
) -> None:
    assert main(["items", "load", write(tmp_path / "items.csv", text), *words]) == 1
    assert message in capsys.readouterr().err.splitlines()[-1]


def test_redis_that_does_not_answer_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEXTUP_REDIS_URL", "redis://127.0.0.1:1")
    assert main(["items", "load", write(tmp_path / "items.csv", CSV)]) == 1
    assert "127.0.0.1:1" in capsys.readouterr().err.splitlines()[-1]


def test_items_without_load_still_lists_an_artifact(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["items", str(write_tiny_artifact(tmp_path / "artifact")), "--limit", "1"]) == 0
    assert len(json.loads(capsys.readouterr().out.splitlines()[-1])["items"]) == 1
    kinds = [type(parse_options(*words)) for words in (["./load"], ["load", "x.csv"], ["shop", "--find", "load"])]
    assert kinds == [ItemsOptions, ItemsLoadOptions, ItemsOptions]
    assert main(["items", "load"]) == 2
    assert "FILE is required; see `nextup items load --help`" in capsys.readouterr().err
    assert main(["items", "load", "--help"]) == 0
    assert "Usage: nextup items load" in capsys.readouterr().out
