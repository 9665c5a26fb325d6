"""Statistics of the servers behind a client, summed over all primaries."""

from typing import Any

from app.stores.redis.client import RedisClient, make_pipeline


async def call_each_primary(client: RedisClient, *args: Any) -> list[Any]:
    """Return the reply of every primary; raise the first error."""
    replies = [reply for (reply,) in await make_pipeline(client).broadcast([args])]
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    return replies


async def count_calls(client: RedisClient, command: str) -> int:
    """Count the calls of a command since the servers started."""
    name = f"cmdstat_{command}"
    return sum(
        stats[name]["calls"] for stats in await call_each_primary(client, "INFO", "commandstats") if name in stats
    )


async def read_statistic(client: RedisClient, name: str) -> int:
    """Read a number of INFO stats."""
    return sum(int(stats[name]) for stats in await call_each_primary(client, "INFO", "stats"))
