"""An archive in an object store: rounds, erasures and compactions, with a server that speaks S3 on loopback."""

from collections.abc import Iterator

import pytest

from app.archive.archiver import Archiver
from app.archive.compaction import Compaction
from app.archive.reader import read_event_log
from app.archive.storage import open_storage
from app.stores.records import NewEvent
from service_tests.app.archive.log_writer import LogWriter, open_log
from service_tests.support.object_store import BUCKET, ObjectStore, run_object_store

pytestmark = pytest.mark.anyio


@pytest.fixture
def object_store(monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectStore]:
    with run_object_store() as store:
        for name, value in store.environment.items():
            monkeypatch.setenv(name, value)
        yield store


async def read_items(log: LogWriter, location: str) -> list[tuple[str, str]]:
    events = (await read_event_log(log.streams, open_storage(location))).events
    return sorted(events.select("user_id", "item_id").rows())


async def test_archive_in_an_object_store(object_store: ObjectStore, redis_url: str) -> None:
    location = f"s3://{BUCKET}/events"
    storage = open_storage(location)
    async with open_log(redis_url, storage) as log:
        archiver = Archiver(log.streams, storage)
        assert await read_items(log, location) == []
        for number in range(3):
            await log.append("ann", NewEvent("ann", f"i{number}", number))
            await log.append("zoe-wanders", NewEvent("zoe-wanders", f"i{number}", number))
            async with archiver.hold_lease() as lease:
                await archiver.archive(lease)
        assert await log.client.xlen("n:log") == 0
        await log.erase("zoe-wanders")
        expected = [("ann", f"i{number}") for number in range(3)]
        assert await read_items(log, location) == expected
        async with archiver.hold_lease() as lease:
            await archiver.archive(lease)
            result = await Compaction(storage).compact(lease)
        assert (result.rows_removed, result.files_before, result.files_after) == (3, 4, 1)
        assert await read_items(log, location) == expected
    sizes = sorted(len(content) for content in object_store.objects.values())
    assert sizes[-2] < 1000 < sizes[-1], "removed files are smaller than any other, for a lifecycle rule"
    assert not any(b"zoe-wanders" in content for content in object_store.objects.values())
