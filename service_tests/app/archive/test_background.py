"""The archiver inside the service: what callers, metrics and readers see of it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from app.archive.background import run_archiving
from app.archive.local_storage import LocalStorage
from app.settings import Settings
from app.stores.history import HistoryStore
from app.stores.log_streams import LogStreams
from app.telemetry.metrics import EVENT_LOG_LIMIT
from service_tests.app.archive.log_writer import LogWriter, list_paths, open_log
from service_tests.support.service import Service, wait_until

pytestmark = pytest.mark.anyio

FAILED_ROUNDS = 'nextup_archive_rounds_total{result="failed"}'
ServiceWith = Callable[..., AbstractAsyncContextManager[Service]]


@asynccontextmanager
async def run_archiving_service(
    service_with: ServiceWith, redis_url: str, storage: LocalStorage
) -> AsyncIterator[tuple[Service, LogWriter]]:
    async with service_with(archive="auto", archive_s=0.1) as service, open_log(redis_url, storage) as log:
        yield service, log


async def test_service_archives_events_and_counts_them(
    service_with: ServiceWith, redis_url: str, storage: LocalStorage
) -> None:
    async with run_archiving_service(service_with, redis_url, storage) as (service, log):
        archived = await service.read_metric("nextup_archived_events_total")
        await service.post_events("ann", "i1", "i2")
        await wait_until(lambda: bool(storage.list_files()))
        assert [row[:2] for row in await log.read_rows()] == [("ann", "i1"), ("ann", "i2")]
        await service.post_events("ann", "i1", "i2")  # duplicates
        await service.post_events("bob", "i3")
        async with asyncio.timeout(60):
            # The counter follows the removal of the entries, which follows the file.
            while await service.read_metric("nextup_archived_events_total") < archived + 3:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert await log.client.xlen("n:log") == 0
        assert await service.read_metric("nextup_event_log_limit_entries") == 1_000_000


@pytest.mark.parametrize(("event_log", "limit"), [("on", 5_000), ("off", 0)])
async def test_limit_of_the_log_is_known_before_the_first_round(
    event_log: str, limit: int, redis_url: str, storage: LocalStorage, settings: Settings
) -> None:
    EVENT_LOG_LIMIT.set(-1)
    changed = settings.with_changes(event_log=event_log, event_log_max_entries=5_000, archive_s=600)
    async with (
        open_log(redis_url, storage) as log,
        run_archiving(HistoryStore(log.client), LogStreams(log.client), changed, starts_immediately=False),
    ):
        assert REGISTRY.get_sample_value("nextup_event_log_limit_entries") == limit


async def test_erasures_and_merges_of_callers_reach_the_archive(
    service_with: ServiceWith, redis_url: str, storage: LocalStorage
) -> None:
    async with run_archiving_service(service_with, redis_url, storage) as (service, log):
        await service.post_events("ann", "i1")
        await service.post_events("anonymous", "i2")
        await service.post_events("zoe", "i3")
        await wait_until(lambda: bool(storage.list_files()))
        assert (await service.http.post("/users/ann/merge", json={"from": "anonymous"})).status_code == 200
        receipt = (await service.http.delete("/users/zoe")).json()
        assert (receipt["keys_removed"], receipt["archive"]) == (1, "marked")
        expected = [("ann", "i1"), ("ann", "i2")]
        assert [row[:2] for row in await log.read_rows()] == expected
    async with open_log(redis_url, storage) as log:
        await log.compact()
        assert [row[:2] for row in await log.read_rows()] == expected
        assert [path for path in list_paths(storage) if path.parent.name == "controls"] == []


async def test_archive_that_cannot_be_written_delays_nothing_but_itself(
    service_with: ServiceWith, redis_url: str, storage: LocalStorage, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "events").write_text("not a folder")
    async with run_archiving_service(service_with, redis_url, storage) as (service, log):
        failures = await service.read_metric(FAILED_ROUNDS)
        await service.post_events("ann", "i1")
        async with asyncio.timeout(60):
            while await service.read_metric(FAILED_ROUNDS) < failures + 2:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert await service.read_metric("nextup_event_log_entries") == 1
        assert await service.read_metric("nextup_event_log_oldest_timestamp_seconds") > 1_000_000_000
        (tmp_path / "events").unlink()
        await wait_until(lambda: bool(storage.list_files()))
        assert [row[:2] for row in await log.read_rows()] == [("ann", "i1")]
    assert caplog.text.count("the event log stays in Redis") == 1
    assert "the event log is archived again" in caplog.text
