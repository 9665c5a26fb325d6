"""Requests per second and API key over all workers and nodes.

A process takes tokens from the shared bucket in small lots and spends them without asking Redis again, so the sum over
all processes never exceeds the limit. While Redis does not answer, each process limits its own requests.
"""

import asyncio
import logging
import time
from typing import Protocol

from starlette.requests import Request

from app.api_keys import ApiKey
from app.errors import StoreUnavailable

log = logging.getLogger("nextup")

LOT_S = 0.02
"""A lot is what the limit allows in this time, at least one token."""
LOT_LIFETIME_S = 1.0
"""Tokens that a process does not spend are lost after this time, so that an idle one does not save up a burst."""
RETRY_S = 1.0
"""How long each process limits its own requests before it asks Redis again."""
MAX_LIMITS = 10_000
"""Limits that a process keeps; a new one holds no tokens, and the shared bucket stays."""
LIMIT = "nextup.rate_limit"
"""Entry of the ASGI scope: the limit of the caller's key, absent without one."""


class Buckets(Protocol):
    async def take(self, name: str, rate: float, count: int, *, by_force: bool = False) -> tuple[int, float]: ...


class KeyLimit:
    """The limit of one key in this process."""

    def __init__(self, buckets: Buckets, key: ApiKey, *, timeout_s: float) -> None:
        self._buckets = buckets
        self._timeout_s = timeout_s
        self._key = key
        self._lock = asyncio.Lock()
        self._tokens = 0
        self._expires_at = 0.0
        self._is_local = False
        self._local_until = float("-inf")

    async def take_token(self) -> float:
        """Take a token for one request and return 0, or return the seconds until one is available."""
        if self._spend():
            return 0.0
        async with self._lock:  # one request asks on behalf of all that wait
            if self._spend():
                return 0.0
            lot = max(1, round(self._key.rate * LOT_S))
            num_tokens, wait_s = await self._take(lot)
            if not num_tokens:
                return wait_s
            self._tokens, self._expires_at = num_tokens - 1, time.monotonic() + LOT_LIFETIME_S
            return 0.0

    async def charge(self, count: int) -> None:
        """Take tokens for further requests of a batch; what is not available is taken from those that follow."""
        if count > 0:
            await self._take(count, by_force=True)

    def _spend(self) -> bool:
        if self._tokens < 1 or time.monotonic() >= self._expires_at:
            return False
        self._tokens -= 1
        return True

    async def _take(self, count: int, *, by_force: bool = False) -> tuple[int, float]:
        now = time.monotonic()
        if now >= self._local_until:
            try:
                async with asyncio.timeout(self._timeout_s):
                    result = await self._buckets.take(self._key.name, self._key.rate, count, by_force=by_force)
            except (StoreUnavailable, TimeoutError) as error:
                if not self._is_local:  # one line per outage
                    cause = getattr(error, "detail", "no answer in time")
                    log.warning("rate limits are counted per process, because Redis does not count them: %s", cause)
                self._is_local, self._local_until = True, now + RETRY_S
            else:
                self._is_local = False
                return result
        if by_force:
            self._key.charge(now, count)
            return count, 0.0
        wait_s = self._key.take_token(now)
        return int(wait_s == 0), wait_s


class RateLimits:
    """The limits of all keys in this process."""

    def __init__(self, buckets: Buckets, *, timeout_s: float) -> None:
        self._buckets = buckets
        self._timeout_s = timeout_s
        self._limits: dict[str, KeyLimit] = {}

    def get_limit(self, key: ApiKey) -> KeyLimit:
        if key.name not in self._limits:
            if len(self._limits) >= MAX_LIMITS:  # names of many rotations
                self._limits.clear()
            self._limits[key.name] = KeyLimit(self._buckets, key, timeout_s=self._timeout_s)
        return self._limits[key.name]


async def charge_batch(request: Request, size: int) -> None:
    """Count a batch by its size; its request has been counted as one."""
    limit: KeyLimit | None = request.scope.get(LIMIT)
    if limit is not None:
        await limit.charge(size - 1)
