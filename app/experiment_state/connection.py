"""The experiments in a process: with its client of Redis, or with a client for nothing else."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.experiment_state.follower import ExperimentFollower
from app.settings import Settings, get_plain_value
from app.stores.experiments import ExperimentStore
from app.stores.redis.client import RedisClient
from app.stores.redis.connect import close_redis, open_redis

MAX_CONNECTIONS = 2


@asynccontextmanager
async def run_follower(client: RedisClient, settings: Settings) -> AsyncIterator[ExperimentFollower]:
    """Follow the experiments until the block ends."""
    store = ExperimentStore(client, wait_s=settings.redis_timeout_ms / 1000)
    follower = ExperimentFollower(store)
    try:
        async with follower.run():
            yield follower
    finally:
        await store.close()


@asynccontextmanager
async def follow_experiments(settings: Settings) -> AsyncIterator[ExperimentFollower | None]:
    """Follow the experiments in the dedicated model process until the block ends; None without the URL of a Redis."""
    url = get_plain_value(settings.redis_url)
    if url is None:
        yield None
        return
    timeout_s = settings.redis_timeout_ms / 1000
    client = await open_redis(url, max_connections=MAX_CONNECTIONS, timeout_s=timeout_s, must_answer=False)
    try:
        async with run_follower(client, settings) as follower:
            yield follower
    finally:
        await close_redis(client)
