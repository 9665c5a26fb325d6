"""Discovery of the primary through Sentinels under concurrency, cancellation and Sentinels that are down."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError

from app.stores.redis.sentinel import SingleFlightSentinel
from service_tests.support.redis_sentinel import SERVICE, RedisSentinel

pytestmark = pytest.mark.anyio

CLOSED_PORT = ("127.0.0.1", 1)


@asynccontextmanager
async def open_sentinel(*sentinels: tuple[str, int]) -> AsyncIterator[SingleFlightSentinel]:
    client = SingleFlightSentinel(
        list(sentinels), sentinel_kwargs={"socket_timeout": 0.5, "retry": Retry(NoBackoff(), 0)}
    )
    try:
        yield client
    finally:
        await client.aclose()


async def test_concurrent_discovery_keeps_every_sentinel_in_the_list(healthy_sentinel: RedisSentinel) -> None:
    sentinels = [("127.0.0.1", sentinel.port) for sentinel in healthy_sentinel.sentinels]
    async with open_sentinel(CLOSED_PORT, *sentinels) as client:
        before = list(client.sentinels)
        for _ in range(5):
            addresses = await asyncio.gather(*(client.discover_master(SERVICE) for _ in range(50)))
            assert set(addresses) == {("127.0.0.1", healthy_sentinel.find_primary().port)}
            client.sentinels.reverse()  # so that the closed port is first again
        assert len(set(client.sentinels)) == len(before)


async def test_cancelled_caller_does_not_affect_others_and_an_error_reaches_all_callers(
    healthy_sentinel: RedisSentinel,
) -> None:
    async with open_sentinel(*[("127.0.0.1", sentinel.port) for sentinel in healthy_sentinel.sentinels]) as client:
        tasks = [asyncio.create_task(client.discover_master(SERVICE)) for _ in range(10)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(results[0], asyncio.CancelledError)
        assert results[1:] == [("127.0.0.1", healthy_sentinel.find_primary().port)] * 9
        errors = await asyncio.gather(*(client.discover_master("unknown") for _ in range(3)), return_exceptions=True)
        assert all(isinstance(error, RedisConnectionError) for error in errors)
    async with open_sentinel(CLOSED_PORT) as client:
        with pytest.raises(RedisConnectionError, match="No master found"):
            await client.discover_master(SERVICE)
