"""When items were shown to users, and clicked: a sorted set per user in Redis, bounded and short-lived.

A mark is a letter, `s` for shown or `c` for clicked, and the item key; its score is the time of the last such event in
Unix seconds. Times only rise, so the order of events and their repetition make no difference, as long as no mark had to
make room. At most MAX_MARKS marks stay in the compact encoding of Redis: 0.3 kB for ten and 2.6 kB for all.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from app.stores.keys import build_user_keys
from app.stores.redis.client import ConcurrencyLimiter, RedisClient, Script, make_pipeline
from app.stores.redis.pipelines import Command, PipelineLimits
from models.catalogue.item_key import ItemKeys, item_key

MAX_IN_FLIGHT = 16
MAX_MARKS = 128
"""As many entries as Redis keeps in its compact encoding by default (zset-max-listpack-entries)."""
SHOWN, CLICKED = b"s", b"c"


class Impression(NamedTuple):
    """An item that was shown to a user, or clicked, at a Unix time in seconds."""

    item_id: str
    time_s: int
    is_click: bool = False


class ImpressionStore:
    def __init__(self, client: RedisClient, *, wait_s: float, lifetime_s: int) -> None:
        """Impressions are forgotten after `lifetime_s`.

        An operation waits at most `wait_s` for a connection, and as long for its round trip, retries included.
        """
        self._pipeline = make_pipeline(client, PipelineLimits(send_s=wait_s))
        self._limiter = ConcurrencyLimiter(max_in_flight=MAX_IN_FLIGHT, wait_s=wait_s)
        self._script = Script("impression_marks.lua", "impressions.lua")
        self._lifetime_s = lifetime_s

    async def add(self, impressions: Mapping[str, Sequence[Impression]]) -> None:
        """Remember impressions by user; StoreUnavailable without Redis."""
        oldest = int(time.time()) - self._lifetime_s
        recent = {
            user_id: marks
            for user_id, events in impressions.items()
            if (marks := _list_marks([event for event in events if event.time_s >= oldest]))
        }
        calls = [
            ([build_user_keys(user_id).impressions], [1000 * self._lifetime_s, MAX_MARKS, oldest, *marks])
            for user_id, marks in recent.items()
        ]
        if not calls:
            return
        async with self._limiter.slot("impressions"):
            await self._script.run(self._pipeline, calls)

    async def read_shown(self, user_id: str, since_s: float, deadline: float) -> ItemKeys:
        """Read the items that were shown since a Unix time, and not clicked since then.

        TimeoutError at `deadline`, a value of the running loop's `time()`; StoreUnavailable without Redis.
        """
        key = build_user_keys(user_id).impressions
        async with asyncio.timeout_at(deadline), self._limiter.slot("impressions"):
            (reply,) = await self._pipeline.send([Command(key, ("ZRANGEBYSCORE", key, int(since_s), "+inf"))])
            if isinstance(reply, Exception):
                raise reply
        clicked = {mark[1:] for mark in reply if mark.startswith(CLICKED)}
        shown = sorted(mark[1:] for mark in reply if mark.startswith(SHOWN) and mark[1:] not in clicked)
        return np.frombuffer(b"".join(shown), dtype="<u8")

    async def close(self) -> None:
        await self._pipeline.close()


def _list_marks(events: Sequence[Impression]) -> list[int | bytes]:
    """List time and mark of the last event of each kind and item, of the newest ones."""
    last: dict[bytes, int] = {}
    for event in events:
        mark = (CLICKED if event.is_click else SHOWN) + item_key(event.item_id)
        last[mark] = max(event.time_s, last.get(mark, event.time_s))
    newest = sorted(last.items(), key=lambda pair: (-pair[1], pair[0]))[:MAX_MARKS]
    return [value for mark, time_s in newest for value in (time_s, mark)]
