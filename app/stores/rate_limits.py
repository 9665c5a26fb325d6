"""Token buckets in Redis, which all workers and nodes share."""

from app.stores.keys import build_rate_limit_key
from app.stores.redis.client import ConcurrencyLimiter, RedisClient, Script, make_pipeline

MAX_IN_FLIGHT = 8


class SharedBuckets:
    def __init__(self, client: RedisClient, *, wait_s: float) -> None:
        """An operation waits at most `wait_s` for a free connection."""
        self._pipeline = make_pipeline(client)
        self._limiter = ConcurrencyLimiter(max_in_flight=MAX_IN_FLIGHT, wait_s=wait_s)
        self._script = Script("rate_limits.lua")

    async def take(self, name: str, rate: float, count: int, *, by_force: bool = False) -> tuple[int, float]:
        """Take up to `count` tokens of a bucket that refills by `rate` per second and holds one second's worth.

        Returns how many were taken and the seconds until one is available; `by_force` takes all, into debt.
        StoreUnavailable if Redis does not answer.
        """
        key = build_rate_limit_key(name)
        async with self._limiter.slot("rate_limit"):
            call = ([key], [rate, max(1.0, rate), count, int(by_force)])
            (reply,) = await self._script.run(self._pipeline, [call])
        taken, wait_s = reply
        return int(taken), float(wait_s)
