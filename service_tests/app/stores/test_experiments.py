"""Experiments in Redis: two writers never both win, and counts of an experiment that is over are not kept."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from app.stores.experiment_records import Experiment, Shadow, Variant
from app.stores.experiments import SHADOW, Counts, ExperimentState, ExperimentStore
from app.stores.keys import EXPERIMENT_KEYS, build_experiment_counts_key
from app.stores.redis.client import RedisClient

pytestmark = pytest.mark.anyio
HOME = Experiment("home", 1000, (Variant("a", 0.5), Variant("b", 0.5, "v2")))
KEYS = [*EXPERIMENT_KEYS, build_experiment_counts_key("home"), build_experiment_counts_key(SHADOW)]


@pytest.fixture
async def store(redis_client: RedisClient) -> AsyncIterator[ExperimentStore]:
    await redis_client.delete(*KEYS)
    store = ExperimentStore(redis_client, wait_s=10.0)
    yield store
    await store.close()
    await redis_client.delete(*KEYS)


async def test_records_are_read_as_written_and_every_change_has_another_token(store: ExperimentStore) -> None:
    assert await store.read() == ExperimentState()
    shadow = Shadow("v3", 0.1, 5, 2**53)
    tokens = {await store.read_token()}
    for name, record in (("home", HOME), (SHADOW, shadow), ("home", None)):
        state = await store.read()
        assert await store.write(state, name, record)
        tokens.add(await store.read_token())
    state = await store.read()
    assert (state.experiments, state.shadow, state.running) == ({}, shadow, None)
    assert len(tokens) == 4


async def test_one_of_several_concurrent_writers_wins(store: ExperimentStore) -> None:
    state = await store.read()
    results = await asyncio.gather(*(store.write(state, f"e{number}", HOME) for number in range(8)))
    assert results.count(True) == 1
    assert len((await store.read()).experiments) == 1


async def test_counts_of_a_record_that_is_gone_over_or_newer_are_not_kept(store: ExperimentStore) -> None:
    counts = [Counts("home", 1500, {"a:click:7": 1, "a:click:8": 2.5}), Counts("home", 999, {"a:click:7": 1})]
    assert await store.add_counts(counts) == 0, "no record"
    await store.write(await store.read(), "home", HOME)
    assert await store.add_counts(counts) == 1, "the second one is older than the record"
    assert await store.add_counts(counts) == 1
    assert await store.read_counts("home") == {"a:click:7": 2, "a:click:8": 5}
    ended = Experiment("home", 1000, HOME.variants, ended_at=2000)
    await store.write(await store.read(), "home", ended)
    assert await store.add_counts(counts) == 0
    await store.write(await store.read(), "home", None, drops_counts=True)
    assert await store.read_counts("home") == {}


async def test_damaged_record_is_left_out(store: ExperimentStore, redis_client: RedisClient) -> None:
    await store.write(await store.read(), "home", HOME)
    await redis_client.hset(EXPERIMENT_KEYS[0], "other", b'{"name": 3}')
    assert set((await store.read()).experiments) == {"home"}
