"""Positions of events are in the archive where events have one; files without the column are read as before."""

from typing import Any

import polars as pl
import pytest

from app.archive.local_storage import LocalStorage
from app.archive.reader import read_event_log
from app.archive.rows import POSITION
from app.stores.records import NewEvent
from service_tests.app.archive.log_writer import LogWriter, open_log
from service_tests.support.service import Service

pytestmark = pytest.mark.anyio


async def read_positions(log: LogWriter) -> dict[str, int | None]:
    events = (await read_event_log(log.streams, log.storage)).events
    return dict(events.select("item_id", POSITION).rows())


def read_columns(storage: LocalStorage) -> list[bool]:
    return [POSITION in storage.read(file).columns for file in storage.list_files()]


async def test_position_is_archived_and_compacted_with_files_that_have_none(
    redis_url: str, storage: LocalStorage
) -> None:
    async with open_log(redis_url, storage) as log:
        expected: dict[str, int | None] = {}
        for item_id, position in (("plain", None), ("first", 1), ("far", 10_000)):
            await log.append("ann", NewEvent("ann", item_id, 5, type="click", recommendation_id="r", position=position))
            expected[item_id] = position
            assert await read_positions(log) == expected, "from the stream"
            await log.archive()
            assert await read_positions(log) == expected, "from files"
        assert read_columns(storage) == [False, True, True], "earlier releases read files without positions"
        await log.compact()
        assert (await read_positions(log), read_columns(storage)) == (expected, [True])
        rows = pl.concat([storage.read(file) for file in storage.list_files()])
        assert rows["recommendation_id"].to_list() == ["r"] * 3


async def test_position_of_a_posted_event_is_in_the_log(
    service: Service, redis_url: str, storage: LocalStorage
) -> None:
    event: dict[str, Any] = {"user_id": "ann", "item_id": "i1", "type": "click", "position": 4}
    assert (await service.http.post("/events", json={"events": [event]})).status_code == 202
    async with open_log(redis_url, storage) as log:
        assert await read_positions(log) == {"i1": 4}
