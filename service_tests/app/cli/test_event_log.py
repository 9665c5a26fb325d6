"""`events://`: training, export and erasure work on everything that the service accepted, not on retained histories."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from app.commands.main import main
from app.settings import Settings
from app.stores.records import NewEvent
from app.stores.redis.embedded import EmbeddedRedis
from app.stores.session import open_store
from models.data.dataset import prepare_dataset
from models.data.identity import sort_events
from models.data.interactions import read_interactions
from service_tests.app.stores.old_format import store_old_history

pytestmark = pytest.mark.process

TINY = ["--preset", "sasrec", "--dim", "8", "--epochs", "1", "--threads", "1", "--device", "cpu", "--seed", "3"]


@pytest.fixture
def url(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty server with short histories, which the commands use, too."""
    folder = tmp_path_factory.mktemp("data")
    with EmbeddedRedis.start(folder) as server:
        monkeypatch.setenv("NEXTUP_REDIS_URL", server.url)
        monkeypatch.setenv("NEXTUP_DATA_DIR", str(folder))
        monkeypatch.setenv("NEXTUP_HISTORY_MAX_EVENTS", "4")
        yield server.url


def write_log(path: Path, users: int = 30, events: int = 12) -> None:
    """A log in which some events have an id, several have equal times, and types are set."""
    rows = [
        (f"u{user:02}", f"i{(user + 3 * step) % 17}", 1_700_000_000 + 60 * (step // 2), f"e{user}-{step}", "view")
        for user in range(users)
        for step in range(events)
    ]
    frame = pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp", "event_id", "type"], orient="row")
    has_id = pl.int_range(pl.len()) % 3 != 0
    frame.with_columns(event_id=pl.when(has_id).then("event_id")).write_csv(path)


def run_command(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, object]:
    assert main(list(arguments)) == 0
    result: dict[str, object] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return result


async def append(url: str, *events: NewEvent) -> None:
    async with open_store(url, Settings()) as store:
        await store.append(events)


@pytest.mark.slow
def test_training_on_the_log_of_the_service_equals_training_on_the_source(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Half of the log is archived, half is still in Redis, and histories retain a third of it."""
    write_log(tmp_path / "source.csv")
    events = read_interactions([tmp_path / "source.csv"]).events
    first, second = events.head(events.height // 2), events.tail(events.height - events.height // 2)
    for name, part in (("first", first), ("second", second)):
        part.write_parquet(tmp_path / f"{name}.parquet")
    assert run_command(capsys, "load", str(tmp_path / "first.parquet"))["stored"] == first.height
    assert run_command(capsys, "archive", "--once")["events"] == first.height
    assert run_command(capsys, "load", str(tmp_path / "second.parquet"))["stored"] == second.height

    assert run_command(capsys, "dump", "--out", str(tmp_path / "dump"))["events"] == events.height
    dumped = read_interactions([tmp_path / "dump"]).events
    columns = ["user_id", "item_id", "timestamp", "type"]
    assert sort_events(dumped).select(columns).equals(sort_events(events).select(columns))
    source, own = prepare_dataset(events), prepare_dataset(dumped)
    assert (own.catalogue.item_ids, own.user_ids) == (source.catalogue.item_ids, source.user_ids)
    assert (own.items.tolist(), own.offsets.tolist()) == (source.items.tolist(), source.offsets.tolist())

    results = [
        run_command(capsys, "train", log, "--out", str(tmp_path / name), *TINY)
        for log, name in ((str(tmp_path / "source.csv"), "from-source"), ("events://", "from-log"))
    ]
    digests = [str(result["version"]).rsplit("-", 1)[1] for result in results]
    assert digests[0] == digests[1], "the weights and the catalogue are the same bytes"
    assert results[0]["ndcg@10"] == results[1]["ndcg@10"]


def test_erasure_reaches_the_archive(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    events = [NewEvent(user, f"i{n}", n) for user in ("ann", "bob") for n in range(6)]
    asyncio.run(append(url, *events))
    run_command(capsys, "archive", "--once")
    asyncio.run(append(url, NewEvent("ann", "i9", 9)))
    receipt = run_command(capsys, "erase", "ann")
    assert receipt == {"user_id": "ann", "keys_removed": 1, "log_entries_removed": 1, "archive": "marked"}
    assert run_command(capsys, "dump", "--out", str(tmp_path / "a")) | {"out": ""} == {
        "out": "",
        "users": 1,
        "events": 6,
        "files": 1,
    }
    asyncio.run(append(url, NewEvent("ann", "new", 10)))
    receipt = run_command(capsys, "erase", "bob", "--compact")
    assert (receipt["archive"], receipt["rows_removed"]) == ("compacted", 12)
    run_command(capsys, "dump", "--out", str(tmp_path / "b"))
    assert pl.read_parquet(tmp_path / "b/*.parquet").select("user_id", "item_id").rows() == [("ann", "new")]


def test_erasure_reaches_the_archive_while_the_log_is_off(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asyncio.run(append(url, NewEvent("ann", "i1", 1), NewEvent("bob", "i1", 1)))
    run_command(capsys, "archive", "--once")
    monkeypatch.setenv("NEXTUP_EVENT_LOG", "off")
    run_command(capsys, "erase", "ann")
    run_command(capsys, "dump", "--out", str(tmp_path / "dump"))
    assert pl.read_parquet(tmp_path / "dump/*.parquet")["user_id"].to_list() == ["bob"]


def test_log_includes_users_from_before_there_was_one(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whole events in the old format, also after a new event has moved them to the log."""
    old_events = [NewEvent("old", "a", 1, "e1", "view", "r1"), NewEvent("old", "b", 2)]

    async def store_old() -> None:
        async with open_store(url, Settings()) as store:
            await store_old_history(store.client, "old", old_events, version=2)

    asyncio.run(store_old())
    asyncio.run(append(url, NewEvent("new", "c", 3)))
    run_command(capsys, "dump", "--out", str(tmp_path / "a"))
    asyncio.run(append(url, NewEvent("old", "d", 4)))
    run_command(capsys, "archive", "--once")
    run_command(capsys, "dump", "--out", str(tmp_path / "b"))
    dumps = [set(pl.read_parquet(tmp_path / name / "*.parquet").rows()) for name in ("a", "b")]
    assert len(dumps[0]) == 3
    assert {row[1:5] for row in dumps[0] if row[0] == "old"} == {("a", 1, "view", "r1"), ("b", 2, None, None)}
    assert {row[:3] for row in dumps[1] - dumps[0]} == {("old", "d", 4)}


def test_empty_log_names_the_settings_to_check(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "events://", "--out", str(tmp_path / "model")]) != 0
    error = capsys.readouterr().err
    assert "events://: there are no events in Redis or in" in error
    assert "NEXTUP_EVENT_LOG_DIR" in error


def test_log_of_the_service_is_not_mixed_with_files(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_log(tmp_path / "source.csv")
    assert main(["train", "events://", str(tmp_path / "source.csv"), "--out", str(tmp_path / "model")]) != 0
    assert "leave out the other files" in capsys.readouterr().err


def test_log_of_the_service_can_be_inspected(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    asyncio.run(append(url, *(NewEvent(user, f"i{n}", 1000 * n) for user in ("ann", "bob") for n in range(6))))
    result = run_command(capsys, "inspect", "events://")
    assert isinstance(funnel := result["funnel"], dict)
    assert (funnel["users"], funnel["items"]) == (2, 6)
    assert str(result["train"]).startswith("nextup train events://")
