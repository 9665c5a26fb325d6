"""Whether Redis answers, and what it holds: one server, or the primaries of a cluster together.

A primary that does not answer is left out as long as another one does: a cluster with one away still serves most of
its users. Knows no key and no history.
"""

from collections.abc import Sequence
from typing import Any

from app.stores.redis.pipelines import Args, CommandPipeline
from app.stores.results import StoreUsage


async def ping(redis: CommandPipeline) -> None:
    """Raises the error of a primary if all of them fail."""
    await _of_primaries(redis, [("PING",)])


async def collect_usage(redis: CommandPipeline) -> StoreUsage:
    """Sums over the primaries that answer; raises if none does."""
    nodes = await _of_primaries(redis, [("INFO", "memory"), ("DBSIZE",)])
    used, startup, limit = (
        sum(int(memory[name]) for memory, _ in nodes) for name in ("used_memory", "used_memory_startup", "maxmemory")
    )
    return StoreUsage(
        memory_bytes=used, startup_bytes=startup, limit_bytes=limit, keys=sum(int(keys) for _, keys in nodes)
    )


async def _of_primaries(redis: CommandPipeline, args: Sequence[Args]) -> list[list[Any]]:
    answers = await redis.broadcast(args)
    whole = [given for given in answers if not any(isinstance(answer, Exception) for answer in given)]
    if not whole:
        raise next(answer for given in answers for answer in given if isinstance(answer, Exception))
    return whole
