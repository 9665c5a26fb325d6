"""What the servers behind a client say of themselves, all primaries together. Knows no history."""

from typing import Any

from app.stores.redis.client import RedisClient, make_pipeline


async def call_each_primary(client: RedisClient, *words: Any) -> list[Any]:
    """The answer of every primary; raises the first error."""
    answers = [answer for (answer,) in await make_pipeline(client).broadcast([words])]
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
    return answers


async def count_calls(client: RedisClient, command: str) -> int:
    """How often a command was run since the servers started."""
    name = f"cmdstat_{command}"
    return sum(
        stats[name]["calls"] for stats in await call_each_primary(client, "INFO", "commandstats") if name in stats
    )


async def read_statistic(client: RedisClient, name: str) -> int:
    """A number of INFO stats."""
    return sum(int(stats[name]) for stats in await call_each_primary(client, "INFO", "stats"))
