"""A lease in Redis: at most one process holds it, and it expires if that process stops renewing it."""

from uuid import uuid4

from app.stores.redis.client import ConcurrencyLimiter
from app.stores.redis.pipelines import Command, CommandPipeline

_RENEW = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end return 0"
_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


class Lease:
    """A lease with its own random token, so that a process never renews or removes the lease of another one."""

    def __init__(self, pipeline: CommandPipeline, limiter: ConcurrencyLimiter, key: bytes, *, lifetime_ms: int) -> None:
        self._pipeline = pipeline
        self._limiter = limiter
        self._key = key
        self._lifetime_ms = lifetime_ms
        self.token = uuid4().hex

    async def acquire(self) -> bool:
        """Take the lease, or keep it if this object already holds it; False while another process holds it."""
        reply = await self._send("SET", self._key, self.token, "NX", "PX", self._lifetime_ms)
        return bool(reply) or await self.renew()

    async def renew(self) -> bool:
        """Extend the lease; False if it has expired, or another process holds it."""
        return bool(await self._send("EVAL", _RENEW, 1, self._key, self.token, self._lifetime_ms))

    async def release(self) -> None:
        """Remove the lease if this object still holds it."""
        await self._send("EVAL", _RELEASE, 1, self._key, self.token)

    async def _send(self, *args: bytes | str | int) -> object:
        async with self._limiter.slot("lease"):
            (reply,) = await self._pipeline.send([Command(self._key, args)])
            if isinstance(reply, Exception):
                raise reply
        return reply
