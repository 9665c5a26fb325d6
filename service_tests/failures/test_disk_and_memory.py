"""Redis cannot write, because its disk is full or read-only, or its memory is used up: the service recovers by itself.

Reads and recommendations continue or fall back to popular items, events are answered 503, and every acknowledged event
is there afterwards, once.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from app.errors import StoreUnavailable
from app.settings import Settings
from app.stores.redis import supervisor
from app.stores.redis.embedded import EmbeddedRedis
from service_tests.support.redis_processes import RedisProcess
from service_tests.support.service import Service, run_service
from service_tests.support.small_disk import SmallDisk, mount_small_disk
from service_tests.support.waiting import wait_until, wait_until_async

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.process,
    pytest.mark.skipif(sys.platform != "linux", reason="mounts a disk"),
]

SLACK_S = 60.0
MAX_EVENTS = 5_000
FIRST_S = 1_700_000_000


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with mount_small_disk(tmp_path / "disk") as disk:
        yield disk


async def post_event(service: Service, number: int) -> tuple[int, str]:
    """Post one event with an id; return the HTTP status, and the status of the event or the title of the error."""
    event = {"user_id": "u", "item_id": f"i{number % 60 + 1}", "timestamp": FIRST_S + number, "event_id": str(number)}
    response = await service.http.post("/events", json={"events": [event]})
    body = response.json()
    if response.status_code == 503:
        assert int(response.headers["retry-after"]) >= 1
        return 503, str(body["title"])
    return response.status_code, str(body["results"][0]["status"])


async def post_until_refused(service: Service) -> int:
    """Post events until one is refused, and return its number."""
    for number in range(MAX_EVENTS):
        status, text = await post_event(service, number)
        if status == 503:
            assert text == "Store unavailable"
            return number
        assert (status, text) == (202, "stored")
    raise AssertionError(f"{MAX_EVENTS} events were stored although nothing can be written")


async def wait_until_accepted(service: Service, number: int) -> str:
    """Repeat an event until it is accepted, as a client would, and return its status."""
    async with asyncio.timeout(SLACK_S):
        while True:
            status, text = await post_event(service, number)
            if status == 202:
                return text
            await asyncio.sleep(0.1)


async def read_event_times(service: Service) -> list[int]:
    response = await service.http.get("/users/u/history")
    assert response.status_code == 200, response.text
    return [event["timestamp"] // 1000 - FIRST_S for event in response.json()["events"]]


@pytest.mark.slow
@pytest.mark.parametrize("durability", ["everysec", "always"])
async def test_full_disk_refuses_events_until_there_is_room(
    disk: SmallDisk, settings: Settings, durability: str, caplog: pytest.LogCaptureFixture
) -> None:
    changes = {"redis_url": None, "data_dir": disk.folder, "durability": durability, "history_max_events": 10_000}
    async with run_service(settings.with_changes(**changes)) as service:
        assert await post_event(service, MAX_EVENTS) == (202, "stored")
        disk.fill()
        refused = await post_until_refused(service)
        assert (await post_event(service, refused))[0] == 503, "it stays refused"
        assert (await service.http.get("/livez")).status_code == 200
        answer = await service.recommend(user_id="u", k=3)
        if durability == "everysec":
            assert answer["served_by"] == "model", "histories can still be read"
        else:
            assert answer["served_by"] in ("model", "cache", "popularity"), "the server ends at each write"
            assert "the embedded Redis exited with status 1" in caplog.text
        disk.empty()
        assert await wait_until_accepted(service, refused) in ("stored", "duplicate")
        assert await read_event_times(service) == [*range(refused + 1), MAX_EVENTS]
        assert (await service.recommend(user_id="u", k=3))["served_by"] == "model"
    async with run_service(settings.with_changes(**changes)) as service:
        assert await read_event_times(service) == [*range(refused + 1), MAX_EVENTS], "and all of it is on disk"


@pytest.mark.slow
async def test_server_that_dies_on_a_read_only_disk_is_restarted_when_it_can_be_written(
    disk: SmallDisk, settings: Settings, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "MIN_BACKOFF_S", 2.0)  # time to mount the disk again
    async with run_service(settings.with_changes(redis_url=None, data_dir=disk.folder, durability="always")) as service:
        assert await post_event(service, 0) == (202, "stored")
        url = EmbeddedRedis.find_running_url(disk.folder)
        assert url is not None
        with Redis.from_url(url) as client:
            os.kill(client.info("server")["process_id"], signal.SIGKILL)
        wait_until(lambda: disk.set_read_only(True), SLACK_S, "the disk is read-only")
        await wait_until_async(lambda: "the embedded Redis did not start" in caplog.text, SLACK_S, "a restart failed")
        assert await post_event(service, 1) == (503, "Store unavailable")
        answer = await service.recommend(user_id="u", k=3)
        assert (answer["served_by"], answer["reason"]) == ("popularity", "store_unavailable")
        assert disk.set_read_only(False)
        assert await wait_until_accepted(service, 1) == "stored"
        assert await read_event_times(service) == [0, 1]


async def test_error_of_a_start_on_a_read_only_disk_names_the_folder(disk: SmallDisk) -> None:
    EmbeddedRedis.start(disk.folder).stop()
    assert disk.set_read_only(True)
    with pytest.raises(StoreUnavailable, match=f"{disk.folder}/redis cannot be written: Read-only file system"):
        EmbeddedRedis.start(disk.folder)
    assert disk.set_read_only(False)
    EmbeddedRedis.start(disk.folder).stop()


async def test_append_only_file_that_ends_in_the_middle_of_an_event_loses_only_that_event(
    settings: Settings, tmp_path: Path
) -> None:
    own = settings.with_changes(redis_url=None, data_dir=tmp_path / "own")
    async with run_service(own) as service:
        for number in range(5):
            assert await post_event(service, number) == (202, "stored")
    folder = tmp_path / "own" / "redis"
    (file,) = [*folder.glob("appendonlydir/*.incr.aof"), *folder.glob("appendonly.aof")]  # since Redis 7, and before
    with file.open("r+b") as stream:
        stream.truncate(file.stat().st_size - 20)
    async with run_service(own) as service:
        assert await read_event_times(service) == [0, 1, 2, 3]
        statuses = [(await post_event(service, number))[1] for number in range(5)]
        assert statuses == ["duplicate"] * 4 + ["stored"]
        assert await read_event_times(service) == [0, 1, 2, 3, 4]


async def test_redis_without_memory_refuses_events_and_recommends(
    service_with: Callable[..., Any], tmp_path: Path
) -> None:
    redis = RedisProcess(tmp_path / "server", {"save": "", "maxmemory-policy": "noeviction"})
    try:
        async with service_with(redis_url=f"redis://127.0.0.1:{redis.port}") as service:
            assert await post_event(service, 0) == (202, "stored")
            with redis.connect() as client:
                client.config_set("maxmemory", 1)
            assert await post_event(service, 1) == (503, "Store unavailable")
            assert (await service.recommend(user_id="u", k=3))["served_by"] == "model"
            assert (await service.http.get("/readyz")).status_code == 200, "recommendations are not affected"
            assert await read_event_times(service) == [0]
            erased = await service.http.delete("/users/u")
            assert erased.status_code == 200, "an erasure frees memory"
            with redis.connect() as client:
                client.config_set("maxmemory", 0)
            assert [await post_event(service, number) for number in (0, 1)] == [(202, "stored")] * 2
    finally:
        redis.stop()
