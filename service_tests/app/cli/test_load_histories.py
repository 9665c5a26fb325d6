"""`nextup load` and `nextup dump`: order and identity of a log are those of the store, and a dump loses nothing."""

import asyncio
import json
import stat
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.cli.load_histories import BATCH_EVENTS, load_events, split_by_user
from app.commands.main import main
from app.settings import Settings
from app.stores.records import NewEvent
from app.stores.redis.embedded import EmbeddedRedis
from app.stores.results import HistoryEntry
from app.stores.session import open_store
from models.data.dataset import prepare_dataset
from models.data.identity import sort_events
from models.data.interactions import read_interactions

pytestmark = pytest.mark.process


@pytest.fixture
def url(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty server, which the commands use, too."""
    with EmbeddedRedis.start(tmp_path_factory.mktemp("redis")) as server:
        monkeypatch.setenv("NEXTUP_REDIS_URL", server.url)
        yield server.url


async def read_histories(url: str) -> dict[str, list[HistoryEntry]]:
    async with open_store(url, Settings()) as store:
        return {user: (await store.read_history(user)).events async for user in store.iter_users()}


async def append(url: str, events: list[NewEvent]) -> list[str]:
    async with open_store(url, Settings()) as store:
        return [result.status for result in await store.append(events)]


@settings(deadline=None)
@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=30), least=st.integers(1, 12))
def test_parts_of_a_log_split_no_user(lengths: list[int], least: int) -> None:
    events = pl.DataFrame({"user_id": [f"u{user:02}" for user, length in enumerate(lengths) for _ in range(length)]})
    parts = list(split_by_user(events, least))
    assert pl.concat(parts).equals(events)
    users = [set(part["user_id"]) for part in parts]
    assert sum(map(len, users)) == len(set().union(*users)) == len(lengths)
    assert all(part.height >= least for part in parts[:-1])
    assert all(part.height < least + 9 for part in parts)


def test_equal_times_keep_the_order_of_the_log_across_parallel_batches(url: str) -> None:
    """One day for all events, in four batches' worth of users whose borders are within histories."""
    users = [f"u{number:03}" for number in range(40)]
    rows = [(user, f"i{(7 * step) % 601}", 1_700_000_000_000) for user in users for step in range(600)]
    events = pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row")
    assert events.height > 4 * BATCH_EVENTS
    statuses = asyncio.run(load_events(url, Settings(), events))
    assert statuses == {"stored": events.height}
    histories = asyncio.run(read_histories(url))
    dataset = prepare_dataset(events)
    for number, user in enumerate(dataset.user_ids):
        items = [dataset.catalogue.item_id(index) for index in dataset.history(number).tolist()]
        assert [event.item_id for event in histories[user]] == items


events_of_users = st.lists(
    st.tuples(
        st.sampled_from("uv"),
        st.sampled_from("abc"),
        st.integers(0, 3),
        st.sampled_from([None, None, "x", "y"]),
        st.sampled_from([None, "view", "buy"]),
    ),
    min_size=1,
    max_size=30,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=events_of_users)
def test_store_and_training_agree_on_identity_and_order(
    url: str, tmp_path: Path, rows: list[tuple[str, str, int, str | None, str | None]]
) -> None:
    prefix = uuid4().hex
    schema = {
        "user_id": pl.String,
        "item_id": pl.String,
        "timestamp": pl.Int64,
        "event_id": pl.String,
        "type": pl.String,
    }
    named = [(prefix + user, *row) for user, *row in rows]
    pl.DataFrame(named, schema=schema, orient="row").write_csv(tmp_path / "a.csv")
    log = read_interactions([tmp_path / "a.csv"])
    statuses = asyncio.run(load_events(url, Settings(), log.events))
    assert statuses == {"stored": log.events.height}, "the log has no duplicates left"
    histories = asyncio.run(read_histories(url))
    for (user,), expected in sort_events(log.events).group_by("user_id"):
        stored_events = [(event.item_id, event.timestamp_ms) for event in histories[str(user)]]
        assert stored_events == expected.select("item_id", "timestamp").rows()
        dataset = prepare_dataset(log.events)
        indices = dataset.history(dataset.user_ids.index(str(user))).tolist()
        assert [dataset.catalogue.item_id(index) for index in indices] == [item for item, _ in stored_events]


def test_dump_and_load_preserve_every_field(
    url: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    events = [
        NewEvent("u", "a", 1_700_000_000_000, "id-1", "view", "rec-1"),
        NewEvent("u", "a", 1_700_000_000_000, "id-2", "buy"),
        NewEvent("u", "1.0", 1_700_000_000_000),
        NewEvent("v", "é", 1_700_000_000_001, None, None, "rec-2"),
    ]
    monkeypatch.setenv("NEXTUP_DATA_DIR", str(tmp_path / "var"))
    assert asyncio.run(append(url, events)) == ["stored"] * 4
    assert main(["dump", "--out", str(tmp_path / "dump")]) == 0
    dumped_paths = [tmp_path / "dump", *(tmp_path / "dump").iterdir()]
    assert len(dumped_paths) > 1
    assert {path.stat().st_mode & stat.S_IRWXO for path in dumped_paths} == {0}, "other users may read events"
    before = asyncio.run(read_histories(url))
    with EmbeddedRedis.start(tmp_path_factory.mktemp("other")) as other:
        monkeypatch.setenv("NEXTUP_REDIS_URL", other.url)
        assert main(["load", str(tmp_path / "dump")]) == 0
        assert json.loads(capsys.readouterr().out.splitlines()[-1])["stored"] == 4
        after = asyncio.run(read_histories(other.url))
        assert after == before
        again = [NewEvent("u", "other", 1_700_000_000_005, "id-1"), NewEvent("u", "1.0", 1_700_000_000_000)]
        assert asyncio.run(append(other.url, again)) == ["duplicate"] * 2, "an event sent again takes no effect"
        assert main(["dump", "--out", str(tmp_path / "again")]) == 0
        dumps = [pl.read_parquet(tmp_path / name).sort("user_id", maintain_order=True) for name in ("dump", "again")]
        assert dumps[0].equals(dumps[1])
        assert dumps[0]["event_identity"].is_null().to_list() == [event.event_id is None for event in events]


def test_load_reports_the_funnel(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.csv").write_text(
        "user_id,item_id,timestamp\nu,i,1700000000\nu,i,1700000000\n,i,1\nu,j,99999999999\n"
    )
    assert main(["load", str(tmp_path / "a.csv")]) == 0
    output = capsys.readouterr()
    result = json.loads(output.out.splitlines()[-1])
    assert (result["stored"], result["duplicate"], result["bad_rows"]) == (1, 0, 2)
    assert result["funnel"]["duplicates"] == 1
    assert result["funnel"]["bad_reasons"] == {"no user_id": 1, "timestamp is more than a day in the future": 1}
    assert "read 4 rows of 1 file: 2 bad" in output.err


def test_types_that_enter_no_history_are_not_loaded(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The rule of `POST /events`."""
    (tmp_path / "a.csv").write_text(
        "user_id,item_id,timestamp,type\nu,i,1,buy\nu,j,2,impression\nu,k,3,\nv,l,4,dislike\n"
    )
    assert main(["load", str(tmp_path / "a.csv")]) == 0
    output = capsys.readouterr()
    result = json.loads(output.out.splitlines()[-1])
    assert result["stored"] == 2
    assert result["funnel"]["dropped"] == [{"rule": "NEXTUP_HISTORY_TYPES", "events": 2, "items": 2, "users": 1}]
    assert "dropped by the rule NEXTUP_HISTORY_TYPES: 2 events (50.0%)" in output.err
    assert [event.item_id for event in asyncio.run(read_histories(url))["u"]] == ["i", "k"]
