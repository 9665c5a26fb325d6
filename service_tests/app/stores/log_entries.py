"""Entries of the event log, as a reader of the stream sees them."""

from typing import Any

from app.stores.event_log import USER
from app.stores.keys import build_log_key
from app.stores.redis.client import RedisClient, is_cluster


async def read_log(client: RedisClient, user: str) -> list[dict[bytes, bytes]]:
    """Read the entries of a user, without the field of the user."""
    key = build_log_key(user, is_cluster=is_cluster(client))
    stream: Any = await client.xrange(key)
    entries: list[dict[bytes, bytes]] = [fields for _, fields in stream]
    return [
        {name: value for name, value in entry.items() if name != USER}
        for entry in entries
        if entry[USER] == user.encode()
    ]
