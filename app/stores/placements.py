"""Placements in Redis: settings as JSON under a name, and a stamp that changes with every write.

All workers follow the stamp. It is random, so a reader also sees that another state was restored.
"""

import secrets

from app.stores.keys import PLACEMENT_KEYS
from app.stores.redis.client import ConcurrencyLimiter, RedisClient, Script, make_pipeline
from app.stores.redis.pipelines import Command, PipelineLimits, decode_hash

SETTINGS_KEY, STAMP_KEY = PLACEMENT_KEYS
MAX_IN_FLIGHT = 2
MAX_PLACEMENTS = 100


class PlacementStore:
    def __init__(self, client: RedisClient, *, wait_s: float, max_placements: int = MAX_PLACEMENTS) -> None:
        """An operation waits at most `wait_s` for a connection, and as long for its round trip."""
        self._pipeline = make_pipeline(client, PipelineLimits(send_s=wait_s))
        self._limiter = ConcurrencyLimiter(max_in_flight=MAX_IN_FLIGHT, wait_s=wait_s)
        self._script = Script("placements.lua")
        self.max_placements = max_placements

    async def put(self, name: str, settings: bytes) -> str:
        """Store the settings of a placement; returns created, updated, unchanged or full."""
        return await self._write(name, settings)

    async def remove(self, name: str) -> bool:
        """Remove a placement; False if there is none of this name."""
        return await self._write(name, b"") == "removed"

    async def read(self) -> dict[str, bytes]:
        """Read the settings of all placements."""
        async with self._limiter.slot("placements"):
            (reply,) = await self._pipeline.send([Command(SETTINGS_KEY, ("HGETALL", SETTINGS_KEY))])
            if isinstance(reply, Exception):
                raise reply
        return decode_hash(reply)

    async def read_stamp(self) -> bytes:
        """Read the stamp, empty before the first write; what `read` returns afterwards is at least as new."""
        async with self._limiter.slot("placements"):
            (reply,) = await self._pipeline.send([Command(STAMP_KEY, ("GET", STAMP_KEY))])
            if isinstance(reply, Exception):
                raise reply
        return reply or b""

    async def close(self) -> None:
        await self._pipeline.close()

    async def _write(self, name: str, settings: bytes) -> str:
        async with self._limiter.slot("placements"):
            call = (PLACEMENT_KEYS, (secrets.token_hex(8), self.max_placements, name, settings))
            (outcome,) = await self._script.run(self._pipeline, [call])
        text: str = outcome.decode()
        return text
