"""Finding the primary through Sentinels, when many look for it at once and Sentinels go away."""

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

NOBODY = ("127.0.0.1", 1)


@asynccontextmanager
async def asking(*sentinels: tuple[str, int]) -> AsyncIterator[SingleFlightSentinel]:
    shared = SingleFlightSentinel(
        list(sentinels), sentinel_kwargs={"socket_timeout": 0.5, "retry": Retry(NoBackoff(), 0)}
    )
    yield shared
    await shared.aclose()


async def test_no_sentinel_is_forgotten_however_many_look_at_once(healthy_sentinel: RedisSentinel) -> None:
    there = [("127.0.0.1", one.port) for one in healthy_sentinel.sentinels]
    async with asking(NOBODY, *there) as shared:
        before = list(shared.sentinels)
        for _ in range(5):
            found = await asyncio.gather(*(shared.discover_master(SERVICE) for _ in range(50)))
            assert set(found) == {("127.0.0.1", healthy_sentinel.primary().port)}
            shared.sentinels.reverse()  # the one that is away in front again
        assert len(set(shared.sentinels)) == len(before)


async def test_those_who_leave_take_the_answer_from_nobody_and_an_error_reaches_all(
    healthy_sentinel: RedisSentinel,
) -> None:
    async with asking(*[("127.0.0.1", one.port) for one in healthy_sentinel.sentinels]) as shared:
        tasks = [asyncio.create_task(shared.discover_master(SERVICE)) for _ in range(10)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(answers[0], asyncio.CancelledError)
        assert answers[1:] == [("127.0.0.1", healthy_sentinel.primary().port)] * 9
        unknown = await asyncio.gather(*(shared.discover_master("nobody") for _ in range(3)), return_exceptions=True)
        assert all(isinstance(answer, RedisConnectionError) for answer in unknown)
    async with asking(NOBODY) as shared:
        with pytest.raises(RedisConnectionError, match="No master found"):
            await shared.discover_master(SERVICE)
