"""Reachability and memory of one server, or of all primaries of a cluster together.

A primary that does not answer is left out as long as another one answers, because a cluster with one primary down still
serves most of its users.
"""

from collections.abc import Sequence
from typing import Any

from redis.exceptions import ConnectionError as RedisConnectionError

from app.stores.keys import is_items_key
from app.stores.redis.pipelines import Args, CommandPipeline
from app.stores.results import StoreUsage

SAMPLED_KEYS = 200
"""Random keys of a primary from which its users are estimated: of half, with a standard error of 7 %."""


async def ping_primaries(pipeline: CommandPipeline) -> None:
    """Raise the error of a primary if all of them fail."""
    await _send_to_primaries(pipeline, [("PING",)])


async def collect_usage(pipeline: CommandPipeline) -> StoreUsage:
    """Sum the usage of all primaries that answer; raise an error if none does."""
    commands: list[Args] = [("INFO", "memory"), ("DBSIZE",), *[("RANDOMKEY",)] * SAMPLED_KEYS]
    replies = await _send_to_primaries(pipeline, commands)
    used, startup, limit = (
        sum(int(memory[name]) for memory, *_ in replies) for name in ("used_memory", "used_memory_startup", "maxmemory")
    )
    return StoreUsage(
        memory_bytes=used,
        startup_bytes=startup,
        limit_bytes=limit,
        keys=sum(int(key_count) for _, key_count, *_ in replies),
        users=sum(_estimate_users(int(key_count), sample) for _, key_count, *sample in replies),
    )


def _estimate_users(key_count: int, sample: Sequence[bytes | None]) -> int:
    """Multiply the keys by the share of histories in the sample, which has None if there is no key."""
    return round(key_count * sum(key is not None and is_items_key(key) for key in sample) / len(sample))


async def _send_to_primaries(pipeline: CommandPipeline, commands: Sequence[Args]) -> list[list[Any]]:
    """Return the replies of the primaries that answered every command."""
    all_replies = await pipeline.broadcast(commands)
    complete = [replies for replies in all_replies if not any(isinstance(reply, Exception) for reply in replies)]
    if not complete:
        errors = [reply for replies in all_replies for reply in replies if isinstance(reply, Exception)]
        raise errors[0] if errors else RedisConnectionError("no primary of the cluster is known")
    return complete
