"""Erasure and merge in the archive: readers honor them immediately, and compaction leaves no trace."""

from collections.abc import Callable, Collection
from pathlib import Path

import polars as pl
import pytest
from redis import Redis

from app.archive.files import COMPACTION, ArchiveFile, name_file
from app.archive.local_storage import LocalStorage
from app.archive.reader import read_event_log
from app.stores.records import NewEvent
from service_tests.app.archive.log_writer import STREAM, LogWriter, list_paths, open_log

pytestmark = pytest.mark.anyio


async def find_traces(log: LogWriter, user: str) -> list[str]:
    """Where Redis or a file of the archive has the id of a user."""
    traces = []
    async for key in log.client.scan_iter():
        if user.encode() in key:
            traces.append(key.decode())
        if await log.client.type(key) == b"stream" and user.encode() in repr(await log.client.xrange(key)).encode():
            traces.append(f"stream {key.decode()}")
    return [*traces, *(str(path) for path in list_paths(log.storage) if has_text(path, user))]


def has_text(path: Path, text: str) -> bool:
    """Whether a Parquet file has a text, as plain bytes or in a compressed column."""
    return text.encode() in path.read_bytes() or text in str(pl.read_parquet(path).rows())


async def test_nothing_of_an_erased_user_is_anywhere_after_compaction(redis_url: str, storage: LocalStorage) -> None:
    async with open_log(redis_url, storage) as log:
        await log.append("zoe-wanders", *(NewEvent("zoe-wanders", f"i{n}", n) for n in range(5)))
        await log.append("ann", NewEvent("ann", "i1", 1))
        await log.archive()
        await log.append("zoe-wanders", NewEvent("zoe-wanders", "i9", 9))
        assert await find_traces(log, "zoe-wanders")
        await log.erase("zoe-wanders")
        assert await log.streams.remove_events("zoe-wanders") == 1
        assert [row[0] for row in await log.read_rows()] == ["ann"]
        result = await log.compact()
        assert result.rows_removed == 5
        assert await find_traces(log, "zoe-wanders") == []
        assert await find_traces(log, "ann") != []
        assert [row[0] for row in await log.read_rows()] == ["ann"]


async def test_nothing_of_a_merged_user_is_anywhere_after_compaction(redis_url: str, storage: LocalStorage) -> None:
    async with open_log(redis_url, storage) as log:
        await log.append("anonymous-17", NewEvent("anonymous-17", "i1", 1))
        await log.receive("ann", "anonymous-17", "t1")
        await log.give("anonymous-17", "ann", "t1")
        await log.compact()
        assert await find_traces(log, "anonymous-17") == []
        assert [row[:2] for row in await log.read_rows()] == [("ann", "i1")]
        await log.erase("ann")
        await log.compact()
        assert await find_traces(log, "ann") == []


async def test_event_behind_an_erasure_starts_a_new_history(redis_url: str, storage: LocalStorage) -> None:
    event = NewEvent("ann", "i1", 1, event_id="e1")
    async with open_log(redis_url, storage) as log:
        await log.append("ann", event, NewEvent("ann", "i2", 2))
        await log.erase("ann")
        await log.append("ann", event)
        for step in (log.archive, log.compact, log.compact):
            assert [row[1] for row in await log.read_rows()] == ["i1"]
            await step()
        assert [row[1] for row in await log.read_rows()] == ["i1"]


@pytest.mark.parametrize("step", ["read", "written", "published"])
async def test_user_who_is_erased_while_the_archiver_writes_is_erased(
    step: str, redis_url: str, storage: LocalStorage
) -> None:
    """The archiver has read the events, so they reach a file although the erasure removed them from the stream."""

    def erase(current: str) -> None:
        if current == step:
            with Redis.from_url(redis_url) as client:
                client.xadd(STREAM, {"u": "zoe-wanders", "c": "erase"})
                client.xdel(STREAM, *(log_id for log_id, fields in client.xrange(STREAM) if b"r" in fields))

    async with open_log(redis_url, storage) as log:
        await log.append("zoe-wanders", NewEvent("zoe-wanders", "i1", 1))
        await log.archive(erase)
        assert storage.list_files(), "the events are in a file"
        assert await log.read_rows() == []
        await log.compact()
        assert await find_traces(log, "zoe-wanders") == []


async def test_erasure_removes_only_events_in_front_of_it(redis_url: str, storage: LocalStorage) -> None:
    async with open_log(redis_url, storage) as log:
        await log.append("ann", NewEvent("ann", "old", 1))
        await log.append("bob", NewEvent("bob", "i", 1))
        await log.erase("ann")
        await log.append("ann", NewEvent("ann", "new", 2))
        assert await log.streams.remove_events("ann") == 1
        assert [row[:2] for row in await log.read_rows()] == [("ann", "new"), ("bob", "i")]


async def test_merge_that_completes_after_a_compaction_does_not_revive_an_erased_target(
    redis_url: str, storage: LocalStorage
) -> None:
    """The target was erased between the two entries of the merge, and with it the events that it had received."""
    async with open_log(redis_url, storage) as log:
        await log.append("anonymous", NewEvent("anonymous", "i1", 1))
        await log.receive("ann", "anonymous", "t1")
        await log.erase("ann")
        await log.compact()
        await log.give("anonymous", "ann", "t1")
        assert await log.read_rows() == []
        await log.compact()
        assert await log.read_rows() == []
        assert await find_traces(log, "anonymous") == []


def crash(step: str) -> Callable[[str], None]:
    def on_step(current: str) -> None:
        if current == step:
            raise KeyboardInterrupt

    return on_step


@pytest.mark.parametrize("step", ["written", "published", "removed"])
async def test_interrupted_compaction_changes_nothing_that_readers_see(
    step: str, redis_url: str, storage: LocalStorage
) -> None:
    async with open_log(redis_url, storage) as log:
        for user in ("ann", "bob", "cid"):
            await log.append(user, NewEvent(user, f"i-{user}", 1))
            await log.archive()
        await log.receive("bob", "cid", "t1")
        await log.give("cid", "bob", "t1")
        await log.erase("ann")
        expected = [("bob", "i-bob"), ("bob", "i-cid")]
        with pytest.raises(KeyboardInterrupt):
            await log.compact(crash(step))
        assert [row[:2] for row in await log.read_rows()] == expected
        await log.compact()
        assert [row[:2] for row in await log.read_rows()] == expected
        assert await find_traces(log, "ann") == []
        assert (await read_event_log(log.streams, storage)).repetitions == 0


async def test_compaction_joins_the_files_of_a_day_and_then_leaves_them_alone(
    redis_url: str, storage: LocalStorage
) -> None:
    async with open_log(redis_url, storage) as log:
        for number in range(5):
            await log.client.xadd(
                STREAM, {"u": "ann", "r": NewEvent("ann", f"i{number}", number).record}, id=f"17000000000{number}0-0"
            )
            await log.archive()
        assert len(storage.list_files()) == 5
        result = await log.compact(max_file_events=3)
        assert (result.files_before, result.files_after, result.rows_removed) == (5, 2, 0)
        files = storage.list_files()
        await log.compact(max_file_events=3)
        assert storage.list_files() == files
        assert [row[1] for row in await log.read_rows()] == [f"i{number}" for number in range(5)]


class CompactedStorage(LocalStorage):
    """A folder whose files another process compacts while a reader reads them."""

    compactions = 0

    def read(self, file: ArchiveFile, columns: Collection[str] | None = None) -> pl.DataFrame:
        rows = super().read(file, columns)
        if not self.compactions:
            self.compactions += 1
            files = self.list_files()
            joined = pl.concat([super(CompactedStorage, self).read(each) for each in files])
            new_file = name_file(files[0].folder, (files[0].first, files[-1].last), "n.log", COMPACTION)
            self.prepare(new_file, joined).publish()
            self.remove(files)
        return rows


async def test_reader_starts_again_when_a_compaction_replaces_files(redis_url: str, storage: LocalStorage) -> None:
    async with open_log(redis_url, storage) as log:
        for number in range(4):
            await log.append("ann", NewEvent("ann", f"i{number}", number))
            await log.archive()
        compacted = CompactedStorage(Path(str(storage)))
        event_log = await read_event_log(log.streams, compacted)
        assert (compacted.compactions, event_log.files, event_log.repetitions) == (1, 1, 0)
        assert sorted(event_log.events["item_id"].to_list()) == [f"i{number}" for number in range(4)]


class RacingStorage(LocalStorage):
    """A folder whose first listing misses a file that was written behind it, and its sources, removed ahead of it."""

    listings = 0

    def list_files(self) -> list[ArchiveFile]:
        self.listings += 1
        return [file for file in super().list_files() if self.listings > 1 or not file.is_compacted]


async def test_reader_starts_again_if_the_listing_missed_a_compacted_file(
    redis_url: str, storage: LocalStorage
) -> None:
    async with open_log(redis_url, storage) as log:
        for number in range(2):
            await log.append("ann", NewEvent("ann", f"i{number}", number))
            await log.archive()
        await log.compact()
        event_log = await read_event_log(log.streams, RacingStorage(Path(str(storage))))
        assert event_log.events["item_id"].to_list() == ["i0", "i1"]
