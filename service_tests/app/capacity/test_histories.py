"""Real histories in a real Redis take what was planned, however they were written."""

import asyncio
from itertools import chain
from pathlib import Path

import pytest

from app.capacity.histories import detect_allocator, estimate_histories
from app.settings import Settings
from app.stores.records import NewEvent
from app.stores.redis.embedded import find_redis_server
from app.stores.session import open_store, redis_url

WITHIN = 0.1
USERS, LENGTH, MAX_EVENTS = 1000, 40, 1000
USER, ITEM = "u10000", "i1000000"


def lengths(mean: int, reach: int) -> list[int]:
    return [mean - reach + round(2 * reach * user / (USERS - 1)) for user in range(USERS)]


def log(of_users: list[int]) -> list[list[NewEvent]]:
    """Per turn, an event of every user who has so many."""
    return [
        [
            NewEvent(f"u{10_000 + user}", f"i{1_000_000 + (7919 * user + 104_729 * turn) % 9_000_000}", 60_000 * turn)
            for user, length in enumerate(of_users)
            if turn < length
        ]
        for turn in range(max(of_users))
    ]


async def bytes_taken(url: str, settings: Settings, turns: list[list[NewEvent]], *, at_once: bool) -> int:
    """Measured over connections of their own: what one has written, Redis keeps room for."""
    async with open_store(url, settings) as store:
        await store.append([])
        before = await store.memory_bytes()
    async with open_store(url, settings) as store:
        for events in [list(chain(*turns))] if at_once else turns:
            await store.append(events)
    async with open_store(url, settings) as store:
        return await store.memory_bytes() - before


@pytest.mark.slow
@pytest.mark.parametrize("at_once", [True, False])
def test_a_history_takes_what_was_planned(at_once: bool, tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, history_max_events=MAX_EVENTS)
    allocator = detect_allocator(find_redis_server())  # jemalloc, where a redis-server is on the path
    with redis_url(settings) as url:
        taken = asyncio.run(bytes_taken(url, settings, log(lengths(LENGTH, LENGTH // 2)), at_once=at_once))
    planned = estimate_histories(
        USERS, LENGTH, id_bytes=len(ITEM), user_bytes=len(USER), max_events=MAX_EVENTS, allocator=allocator
    )
    per_user = planned.loaded if at_once else planned.grown
    assert taken == pytest.approx(USERS * per_user + planned.tables + planned.running, rel=WITHIN)


@pytest.mark.slow
def test_full_histories_take_twice_their_length(tmp_path: Path) -> None:
    full, settings = 40, Settings(data_dir=tmp_path, history_max_events=40)
    with redis_url(settings) as url:
        taken = asyncio.run(bytes_taken(url, settings, log([full + 12] * USERS), at_once=False))
    allocator = detect_allocator(find_redis_server())
    planned = estimate_histories(USERS, full, id_bytes=8, user_bytes=6, max_events=full, allocator=allocator)
    assert taken == pytest.approx(USERS * planned.grown + planned.tables + planned.running, rel=WITHIN)


def test_a_history_that_grew_takes_up_to_twice_as_much() -> None:
    for length in (1, 30, 200, 1000):
        planned = estimate_histories(1000, length, id_bytes=8, user_bytes=7, max_events=1000)
        assert planned.loaded <= planned.grown < 2.3 * planned.loaded
    full, before = (estimate_histories(1, length, id_bytes=8, user_bytes=7, max_events=1000) for length in (1000, 999))
    assert full.grown > 1.8 * full.loaded, "one that is full is trimmed and doubled"
    assert before.grown < full.grown


def test_users_and_bytes_of_an_event_add_up() -> None:
    one, ten = (estimate_histories(users, 200, id_bytes=8, user_bytes=7, max_events=1000) for users in (10**6, 10**7))
    assert ten.total_loaded == pytest.approx(10 * one.total_loaded, rel=0.01)
    typed = estimate_histories(10**6, 200, id_bytes=8, user_bytes=7, max_events=1000, more=20)
    assert typed.loaded - one.loaded == pytest.approx(200 * 20, rel=0.25)


def test_more_events_than_a_history_holds_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"--length is 1,001.*NEXTUP_HISTORY_MAX_EVENTS"):
        estimate_histories(1, 1001, id_bytes=8, user_bytes=7, max_events=1000)
