"""Estimated Redis memory of histories matches a real Redis, bulk-loaded or grown."""

import asyncio
from itertools import chain
from pathlib import Path

import pytest

from app.capacity.histories import detect_allocator, estimate_histories
from app.settings import Settings
from app.stores.records import NewEvent
from app.stores.redis.embedded import find_redis_server
from app.stores.session import open_store, redis_url

pytestmark = pytest.mark.process

WITHIN = 0.1
USERS, LENGTH, MAX_EVENTS = 1000, 40, 1000
USER, ITEM = "u10000", "i1000000"


def make_lengths(mean: int, deviation: int) -> list[int]:
    return [mean - deviation + round(2 * deviation * user / (USERS - 1)) for user in range(USERS)]


def make_log(lengths: list[int]) -> list[list[NewEvent]]:
    """Make one list of events per step, with an event of every user whose history is that long."""
    return [
        [
            NewEvent(f"u{10_000 + user}", f"i{1_000_000 + (7919 * user + 104_729 * turn) % 9_000_000}", 60_000 * turn)
            for user, length in enumerate(lengths)
            if turn < length
        ]
        for turn in range(max(lengths))
    ]


async def measure_bytes(url: str, settings: Settings, steps: list[list[NewEvent]], *, in_one_call: bool) -> int:
    """Write and measure over separate connections: Redis keeps buffers for a connection that has written."""
    async with open_store(url, settings) as store:
        await store.append([])
        empty_bytes = await store.memory_bytes()
    async with open_store(url, settings) as store:
        for events in [list(chain(*steps))] if in_one_call else steps:
            await store.append(events)
    async with open_store(url, settings) as store:
        return await store.memory_bytes() - empty_bytes


@pytest.mark.slow
@pytest.mark.parametrize("in_one_call", [True, False])
def test_measured_memory_matches_the_estimate(in_one_call: bool, tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, history_max_events=MAX_EVENTS)
    allocator = detect_allocator(find_redis_server())  # jemalloc if a redis-server is on PATH
    with redis_url(settings) as url:
        measured = asyncio.run(
            measure_bytes(url, settings, make_log(make_lengths(LENGTH, LENGTH // 2)), in_one_call=in_one_call)
        )
    estimate = estimate_histories(
        USERS, LENGTH, id_bytes=len(ITEM), user_bytes=len(USER), max_events=MAX_EVENTS, allocator=allocator
    )
    per_user = estimate.loaded if in_one_call else estimate.grown
    assert measured == pytest.approx(USERS * per_user + estimate.tables + estimate.running, rel=WITHIN)


@pytest.mark.slow
def test_full_histories_take_twice_their_length(tmp_path: Path) -> None:
    full, settings = 40, Settings(data_dir=tmp_path, history_max_events=40)
    with redis_url(settings) as url:
        measured = asyncio.run(measure_bytes(url, settings, make_log([full + 12] * USERS), in_one_call=False))
    allocator = detect_allocator(find_redis_server())
    estimate = estimate_histories(USERS, full, id_bytes=8, user_bytes=6, max_events=full, allocator=allocator)
    assert measured == pytest.approx(USERS * estimate.grown + estimate.tables + estimate.running, rel=WITHIN)


def test_grown_history_takes_up_to_twice_as_much() -> None:
    for length in (1, 30, 200, 1000):
        estimate = estimate_histories(1000, length, id_bytes=8, user_bytes=7, max_events=1000)
        assert estimate.loaded <= estimate.grown < 2.3 * estimate.loaded
    full, almost_full = (
        estimate_histories(1, length, id_bytes=8, user_bytes=7, max_events=1000) for length in (1000, 999)
    )
    assert full.grown > 1.8 * full.loaded, "a full history is trimmed and doubled"
    assert almost_full.grown < full.grown


def test_estimate_scales_with_users_and_event_bytes() -> None:
    million, ten_million = (
        estimate_histories(users, 200, id_bytes=8, user_bytes=7, max_events=1000) for users in (10**6, 10**7)
    )
    assert ten_million.total_loaded == pytest.approx(10 * million.total_loaded, rel=0.01)
    typed = estimate_histories(10**6, 200, id_bytes=8, user_bytes=7, max_events=1000, extra_bytes=20)
    assert typed.loaded - million.loaded == pytest.approx(200 * 20, rel=0.25)


def test_length_above_the_limit_raises() -> None:
    with pytest.raises(ValueError, match=r"--length must be at most 1,000 .* \(got 1,001\).*NEXTUP_HISTORY_MAX_EVENTS"):
        estimate_histories(1, 1001, id_bytes=8, user_bytes=7, max_events=1000)
