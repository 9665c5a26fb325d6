"""Estimated Redis memory of histories matches a real Redis, bulk-loaded or grown."""

import asyncio
from itertools import chain
from pathlib import Path

import pytest

from app.capacity.histories import detect_allocator, estimate_histories
from app.settings import Settings
from app.stores.records import NewEvent
from app.stores.redis.servers import find_redis_server
from app.stores.session import open_store, redis_url

pytestmark = pytest.mark.process

WITHIN = 0.1
USERS, LENGTH, MAX_EVENTS = 1000, 40, 1000
USER = "u10000"


def make_lengths(mean: int, deviation: int) -> list[int]:
    return [mean - deviation + round(2 * deviation * user / (USERS - 1)) for user in range(USERS)]


def make_log(lengths: list[int], *, event_ids: bool) -> list[list[NewEvent]]:
    """Make one list of events per step, with an event of every user whose history is that long."""
    return [
        [
            NewEvent(f"u{10_000 + user}", f"i{user + turn}", 60_000 * turn, f"{user}-{turn}" if event_ids else None)
            for user, length in enumerate(lengths)
            if turn < length
        ]
        for turn in range(max(lengths))
    ]


async def measure_bytes(url: str, settings: Settings, steps: list[list[NewEvent]], *, in_one_call: bool) -> int:
    """Write and measure over separate connections: Redis keeps buffers for a connection that has written."""
    async with open_store(url, settings) as store:
        await store.append([])
        empty_bytes = (await store.read_usage()).memory_bytes
    async with open_store(url, settings, stores_names=False) as store:
        for events in [list(chain(*steps))] if in_one_call else steps:
            await store.append(events)
    async with open_store(url, settings) as store:
        return (await store.read_usage()).memory_bytes - empty_bytes


@pytest.mark.slow
@pytest.mark.parametrize("event_ids", [True, False])
@pytest.mark.parametrize("in_one_call", [True, False])
def test_measured_memory_matches_the_estimate(in_one_call: bool, event_ids: bool, tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, history_max_events=MAX_EVENTS, event_log="off")
    allocator = detect_allocator(find_redis_server())  # jemalloc if a redis-server is on PATH
    log = make_log(make_lengths(LENGTH, LENGTH // 2), event_ids=event_ids)
    with redis_url(settings) as url:
        measured = asyncio.run(measure_bytes(url, settings, log, in_one_call=in_one_call))
    estimate = estimate_histories(
        USERS, LENGTH, user_bytes=len(USER), max_events=MAX_EVENTS, event_ids=event_ids, allocator=allocator
    )
    per_user = estimate.loaded if in_one_call else estimate.grown
    assert measured == pytest.approx(USERS * per_user + estimate.tables + estimate.running, rel=WITHIN)


@pytest.mark.slow
def test_trimmed_histories_take_no_more_than_full_ones(tmp_path: Path) -> None:
    full, settings = 40, Settings(data_dir=tmp_path, history_max_events=40, event_log="off")
    log = make_log([full + 12] * USERS, event_ids=False)
    with redis_url(settings) as url:
        measured = asyncio.run(measure_bytes(url, settings, log, in_one_call=False))
    allocator = detect_allocator(find_redis_server())
    estimate = estimate_histories(USERS, full, user_bytes=6, max_events=full, allocator=allocator)
    assert measured == pytest.approx(USERS * estimate.grown + estimate.tables + estimate.running, rel=WITHIN)


def test_history_meets_its_budget_and_does_not_double_by_growing() -> None:
    for length, event_ids, budget in ((200, True, 4_000), (200, False, 3_000), (20, True, 750)):
        estimate = estimate_histories(10_000, length, user_bytes=6, max_events=1000, event_ids=event_ids, spread=False)
        assert estimate.grown + estimate.tables / 10_000 <= budget
        assert estimate.grown == pytest.approx(estimate.loaded, rel=0.15)


def test_estimate_scales_with_users() -> None:
    million, ten_million = (estimate_histories(users, 200, user_bytes=7, max_events=1000) for users in (10**6, 10**7))
    assert ten_million.total_loaded == pytest.approx(10 * million.total_loaded, rel=0.02)


def test_length_above_the_limit_raises() -> None:
    with pytest.raises(ValueError, match=r"--length must be at most 1,000 .* \(got 1,001\).*NEXTUP_HISTORY_MAX_EVENTS"):
        estimate_histories(1, 1001, user_bytes=7, max_events=1000)
