"""Reachability and memory of one server, or of all primaries of a cluster together.

A primary that does not answer is left out as long as another one answers, because a cluster with one primary down still
serves most of its users.
"""

from collections.abc import Sequence
from typing import Any

from app.stores.redis.pipelines import Args, CommandPipeline
from app.stores.results import StoreUsage


async def ping_primaries(pipeline: CommandPipeline) -> None:
    """Raise the error of a primary if all of them fail."""
    await _send_to_primaries(pipeline, [("PING",)])


async def collect_usage(pipeline: CommandPipeline) -> StoreUsage:
    """Sum the usage of all primaries that answer; raise an error if none does."""
    replies = await _send_to_primaries(pipeline, [("INFO", "memory"), ("DBSIZE",)])
    used, startup, limit = (
        sum(int(memory[name]) for memory, _ in replies) for name in ("used_memory", "used_memory_startup", "maxmemory")
    )
    keys = sum(int(key_count) for _, key_count in replies)
    return StoreUsage(memory_bytes=used, startup_bytes=startup, limit_bytes=limit, keys=keys)


async def _send_to_primaries(pipeline: CommandPipeline, commands: Sequence[Args]) -> list[list[Any]]:
    """Return the replies of the primaries that answered every command."""
    all_replies = await pipeline.broadcast(commands)
    complete = [replies for replies in all_replies if not any(isinstance(reply, Exception) for reply in replies)]
    if not complete:
        raise next(reply for replies in all_replies for reply in replies if isinstance(reply, Exception))
    return complete
