"""Rounds of the archiver: kills at every step, two archivers, a lost lease, and a folder that cannot be written."""

import asyncio
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from redis import Redis

from app.archive.archiver import ArchiveBusy, LeaseLost
from app.archive.local_storage import LocalStorage
from app.archive.reader import read_event_log
from app.stores.records import NewEvent
from service_tests.app.archive.log_writer import STREAM, LogWriter, list_paths, open_log
from service_tests.app.archive.reference_log import ReferenceLog

pytestmark = pytest.mark.anyio

STEPS = ("read", "written", "published", "trimmed")
LEASE = "n:archive:lease"
KILLED_ROUND = """
import asyncio, os, signal, sys
from pathlib import Path
from app.archive.local_storage import LocalStorage
from service_tests.app.archive.log_writer import open_log

async def run(url, folder, step):
    def on_step(current):
        if current == step:
            os.kill(os.getpid(), signal.SIGKILL)
    async with open_log(url, LocalStorage(Path(folder))) as log:
        await log.archive(on_step, max_events=4)

asyncio.run(run(*sys.argv[1:]))
"""


async def fill(log: LogWriter) -> ReferenceLog:
    reference = ReferenceLog()
    for number in range(12):
        user = f"u{number % 3}"
        event = NewEvent(user, f"i{number}", number, event_id=f"e{number}" if number % 2 else None, type="view")
        await log.append(user, event)
        reference.append(user, event)
        if number == 5:
            await log.erase("u0")
            reference.erase("u0")
    return reference


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS)
async def test_killed_archiver_loses_nothing_and_shows_nothing_twice(
    step: str, redis_url: str, storage: LocalStorage
) -> None:
    async with open_log(redis_url, storage) as log:
        reference = await fill(log)
        command = [sys.executable, "-c", KILLED_ROUND, redis_url, str(storage), step]
        killed = await asyncio.to_thread(subprocess.run, command, timeout=100, check=False)
        assert killed.returncode == -signal.SIGKILL
        assert await log.read_rows() == reference.list_rows()
        await log.client.delete(LEASE)  # as after a minute
        await log.archive()
        assert await log.client.xlen(STREAM) == 0
        assert await log.read_rows() == reference.list_rows()


async def test_files_are_named_by_day_and_log_ids_and_other_users_cannot_read_them(
    redis_url: str, storage: LocalStorage
) -> None:
    async with open_log(redis_url, storage) as log:
        for ms in (1_700_000_000_000, 1_700_000_000_001, 1_700_006_400_000):  # the last one on the next day
            await log.client.xadd(STREAM, {"u": "ann", "r": NewEvent("ann", "i", ms).record}, id=f"{ms}-0")
        result = await log.archive()
    assert (result.events, result.files) == (3, 2)
    paths = list_paths(storage)
    assert [path.parent.name for path in paths] == ["day=2023-11-14", "day=2023-11-15"]
    assert paths[0].name.startswith("01700000000000.0000000-01700000000001.0000000-n.log.a")
    assert [stat.S_IMODE(path.stat().st_mode) & stat.S_IRWXO for path in [*paths, paths[0].parent]] == [0, 0, 0]
    frame = pl.read_parquet(paths[0])
    assert frame["log_ms"].to_list() == frame["timestamp"].to_list() == [1_700_000_000_000, 1_700_000_000_001]


async def test_archivers_that_run_at_the_same_time_write_every_event_once(
    redis_url: str, storage: LocalStorage
) -> None:
    is_filling = True

    async def archive_repeatedly(log: LogWriter) -> int:
        rounds = 0
        while is_filling:
            try:
                await log.archive(max_events=5)
                rounds += 1
            except ArchiveBusy:
                await asyncio.sleep(0.001)
        return rounds

    async with open_log(redis_url, storage) as log:
        archivers = [asyncio.create_task(archive_repeatedly(log)) for _ in range(2)]
        for number in range(300):
            await log.append("ann", NewEvent("ann", f"i{number}", number))
        is_filling = False
        assert sum(await asyncio.gather(*archivers)) > 1
        await log.archive()
        event_log = await read_event_log(log.streams, storage)
    assert event_log.events["item_id"].to_list() == [f"i{number}" for number in range(300)]
    assert event_log.repetitions == 0


@pytest.mark.parametrize("step", ["written", "published"])
async def test_archiver_that_lost_its_lease_changes_nothing(step: str, redis_url: str, storage: LocalStorage) -> None:
    """It was suspended for longer than its lease, and another archiver may have compacted the archive since."""

    def take_lease(current: str) -> None:
        if current == step:
            with Redis.from_url(redis_url) as client:
                client.set(LEASE, "another archiver")

    async with open_log(redis_url, storage) as log:
        reference = await fill(log)
        with pytest.raises(LeaseLost):
            await log.archive(take_lease)
        assert storage.list_files() == []
        assert list_paths(storage) == []
        assert await log.client.xlen(STREAM) == 13
        assert await log.client.get(LEASE) == b"another archiver"
        assert await log.read_rows() == reference.list_rows()


async def test_folder_that_cannot_be_written_leaves_the_log_in_redis(redis_url: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    async with open_log(redis_url, LocalStorage(tmp_path / "file")) as log:
        await log.append("ann", NewEvent("ann", "i", 1))
        with pytest.raises(OSError, match=r"exists|directory"):
            await log.archive()
        assert await log.client.xlen(STREAM) == 1
        assert await log.client.exists(LEASE) == 0


async def test_events_that_arrive_during_a_round_are_archived_by_the_next(
    redis_url: str, storage: LocalStorage
) -> None:
    def append(step: str) -> None:
        if step == "published":
            with Redis.from_url(redis_url) as client:
                client.xadd(STREAM, {"u": "ann", "r": NewEvent("ann", "late", 2).record})

    async with open_log(redis_url, storage) as log:
        await log.append("ann", NewEvent("ann", "early", 1))
        assert (await log.archive(append)).events == 1
        assert await log.client.xlen(STREAM) == 1
        assert (await log.archive()).events == 1
        assert [row[1] for row in await log.read_rows()] == ["early", "late"]


async def test_entry_that_cannot_be_read_does_not_stop_the_archiver(
    redis_url: str, storage: LocalStorage, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_log(redis_url, storage) as log:
        await log.client.xadd(STREAM, {"x": "written by another program"})
        await log.client.xadd(STREAM, {"u": "ann", "r": NewEvent("ann", "i", 1).record[:-1]})
        await log.append("ann", NewEvent("ann", "i", 1))
        assert (await log.archive()).events == 1
        assert await log.client.xlen(STREAM) == 0
    assert "cannot be read" in caplog.text
    assert "damaged records" in caplog.text


async def test_unfinished_files_of_killed_archivers_are_removed_after_an_hour(
    redis_url: str, storage: LocalStorage
) -> None:
    async with open_log(redis_url, storage) as log:
        await log.append("ann", NewEvent("ann", "i", 1))
        await log.archive()
        day = list_paths(storage)[0].parent
        for name, age_s in (("new", 60), ("old", 4000)):
            path = day / f".new-{name}"
            path.write_text("")
            moment = path.stat().st_mtime - age_s
            os.utime(path, (moment, moment))
        await log.archive()
        assert sorted(path.name for path in day.glob(".new-*")) == [".new-new"]
