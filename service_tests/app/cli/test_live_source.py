"""`nextup train --items live`: an artifact has titles and categories as operators last set them."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from app.cli.live_source import collect_items
from app.commands.main import main
from app.settings import Settings
from app.stores.item_records import ItemRecord
from app.stores.redis.embedded import EmbeddedRedis
from app.stores.session import open_live_items
from models.catalogue.files import open_catalogue

pytestmark = pytest.mark.process

DRAMA = ("drama",)


@pytest.fixture
def url(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server without a live catalogue, which the command uses, too."""
    folder = tmp_path_factory.mktemp("data")
    with EmbeddedRedis.start(folder) as server:
        monkeypatch.setenv("NEXTUP_REDIS_URL", server.url)
        yield server.url


def put(url: str, *records: tuple[str, ItemRecord], removed: Sequence[str] = ()) -> None:
    async def write() -> None:
        async with open_live_items(url, Settings()) as store:
            await store.put(records)
            await store.remove(removed)

    asyncio.run(write())


def write_log(folder: Path) -> str:
    rows = [f"u{user},i{(user + step) % 7},{1_700_000_000 + step}" for user in range(9) for step in range(5)]
    (folder / "log.csv").write_text("\n".join(["user_id,item_id,timestamp", *rows]) + "\n")
    return str(folder / "log.csv")


def train(folder: Path, *options: str) -> int:
    out = ["--out", str(folder / "out"), "--preset", "popular", "--threads", "1", "--device", "cpu"]
    return main(["train", write_log(folder), "--items", "live", *out, *options])


def test_artifact_has_titles_and_categories_of_the_live_catalogue(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(
        url,
        ("i1", ItemRecord("Lantern", DRAMA)),
        ("i2", ItemRecord("Before", DRAMA)),
        ("i3", ItemRecord("Absent", DRAMA)),
        ("i4", ItemRecord(available=False)),
        ("new", ItemRecord("Outside the log", DRAMA)),
    )
    put(url, ("i2", ItemRecord("After", ("comedy", "drama"))), removed=["i3"])
    assert train(tmp_path) == 0
    captured = capsys.readouterr()
    assert "the live catalogue describes 2 of 7 items of the log" in captured.err
    catalogue = open_catalogue(tmp_path / "out")
    assert {
        catalogue.item_id(index): (catalogue.title(index), tuple(catalogue.get_categories(index)))
        for index in range(1, catalogue.num_items + 1)
        if catalogue.title(index) or catalogue.get_categories(index)
    } == {"i1": ("Lantern", DRAMA), "i2": ("After", ("comedy", "drama"))}
    assert json.loads(captured.out.splitlines()[-1])["items"] == 7


def test_attributes_are_those_that_are_named(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(6):
        brand = "Lumen" if number % 2 else "Argent"
        put(url, (f"i{number}", ItemRecord(attributes={"brand": brand, "price": number, "at": "2024-01-01T00:00:00Z"})))
    put(url, ("i6", ItemRecord(available=False)))
    choices: list[tuple[list[str], set[str]]] = [([], {"brand", "price"}), (["brand"], {"brand"}), (["none"], set())]
    for words, names in choices:
        options = ["--attributes", *words] if words else []
        assert train(tmp_path, *options, "--overwrite") == (0 if names else 1)
        if names:
            assert open_catalogue(tmp_path / "out").attributes.names == names
    assert train(tmp_path, "--attributes", "brand,size", "--overwrite") == 1
    *_, line = capsys.readouterr().err.splitlines()
    assert "no item of the live catalogue has the attribute 'size' of --attributes; leave it out" in line


def test_catalogue_of_several_reads_is_read_whole(url: str) -> None:
    ids = [f"i{number:05}" for number in range(2_345)]
    put(url, *((item_id, ItemRecord(item_id.upper())) for item_id in reversed(ids)))
    rows = asyncio.run(collect_items(url, Settings(), None))
    assert rows == [(item_id, item_id.upper(), [], []) for item_id in ids]


def test_live_catalogue_without_titles_ends_the_command_before_the_log_is_read(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(url, ("i1", ItemRecord(available=False)))
    assert train(tmp_path) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "--items live: no item of the live catalogue has a title, categories or attributes; load them with" in line


def test_redis_that_does_not_answer_ends_the_command_before_the_log_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEXTUP_REDIS_URL", "redis://127.0.0.1:1")
    assert train(tmp_path) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("nextup: error: --items live: ")
    assert "127.0.0.1:1" in line


def test_live_catalogue_without_an_item_of_the_log_is_a_warning(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(url, ("sku-1", ItemRecord("Lantern")))
    assert train(tmp_path) == 0
    err = capsys.readouterr().err
    assert "warning: the live catalogue describes none of the 7 items of the log" in err
    assert "the catalogue 'sku-1'; check NEXTUP_REDIS_URL" in err
    assert "--columns" not in err
