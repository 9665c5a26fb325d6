"""Items before new items in histories, in Redis: weights by item key, which all processes follow.

Bounded in items and neighbours; the items whose last event is oldest are dropped.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.stores.keys import COOCCURRENCE_KEYS, NEW_ITEMS_KEY
from app.stores.redis.client import ConcurrencyLimiter, RedisClient, Script, make_pipeline
from app.stores.redis.pipelines import Command, PipelineLimits
from models.catalogue.item_key import ItemKeys

MAX_IN_FLIGHT = 4
MAX_ITEMS = 20_000
MAX_NEIGHBOURS = 32
STEP = 500
MAX_REPLY_BYTES = 250_000
PAIR = np.dtype([("key", "<u8"), ("weight", "<f8")])


class CooccurrencePosition(NamedTuple):
    """Up to where a reader has read the changes; an empty epoch means from the beginning."""

    epoch: str = ""
    version: int = 0


@dataclass(frozen=True, slots=True)
class CooccurrenceChanges:
    """Neighbours by item id: (K,) item keys and their weights (K,). `restarts`: forget what was read before."""

    position: CooccurrencePosition
    neighbours: dict[str, tuple[ItemKeys, NDArray[np.float64]]]
    restarts: bool
    is_last: bool


class CooccurrenceStore:
    def __init__(self, client: RedisClient, *, wait_s: float, max_items: int = MAX_ITEMS) -> None:
        """An operation waits at most `wait_s` for a connection, and as long for its round trip."""
        self._pipeline = make_pipeline(client, PipelineLimits(send_s=wait_s))
        self._limiter = ConcurrencyLimiter(max_in_flight=MAX_IN_FLIGHT, wait_s=wait_s)
        self._add_script = Script("cooccurrences.lua")
        self._changes_script = Script("live_item_changes.lua")
        self._max_items = max_items

    async def add(self, weights: Mapping[str, Mapping[bytes, float]]) -> None:
        """Add the weights of neighbours, by item id and item key."""
        arguments: list[Any] = [secrets.token_hex(8), self._max_items, MAX_NEIGHBOURS]
        for item_id, neighbours in weights.items():
            arguments += [item_id, len(neighbours)]
            for key, weight in neighbours.items():
                arguments += [key, f"{weight:.6f}"]
        async with self._limiter.slot("co-occurrences"):
            await self._add_script.run(self._pipeline, [(COOCCURRENCE_KEYS, arguments)])

    async def read_changes(self, position: CooccurrencePosition) -> CooccurrenceChanges:
        """Read at most STEP changes after a position, oldest first."""
        async with self._limiter.slot("co-occurrences"):
            reply = await self._read(position.version)
            epoch, version = reply[0].decode(), int(reply[1])
            is_same = epoch == position.epoch and version >= position.version
            if not is_same and position.version:
                reply = await self._read(0)
                epoch, version = reply[0].decode(), int(reply[1])
        is_last = int(reply[3]) == 1
        rows = [reply[start : start + 3] for start in range(4, len(reply), 3)]
        end = int(rows[-1][1]) if rows and not is_last else version
        neighbours = {item_id.decode(): _decode(record) for item_id, _, record in rows}
        return CooccurrenceChanges(CooccurrencePosition(epoch, end), neighbours, not is_same, is_last)

    async def put_new_items(self, keys: ItemKeys) -> None:
        """Replace the keys of the items that the serving version does not know, at most MAX_ITEMS."""
        async with self._limiter.slot("new items"):
            command = Command(NEW_ITEMS_KEY, ("SET", NEW_ITEMS_KEY, keys[:MAX_ITEMS].astype("<u8").tobytes()))
            (reply,) = await self._pipeline.send([command])
            if isinstance(reply, Exception):
                raise reply

    async def read_new_items(self) -> ItemKeys:
        """Read the keys of the items that the serving version does not know; none if no service has said so."""
        async with self._limiter.slot("new items"):
            (reply,) = await self._pipeline.send([Command(NEW_ITEMS_KEY, ("GET", NEW_ITEMS_KEY))])
            if isinstance(reply, Exception):
                raise reply
        value = reply or b""
        return np.frombuffer(value[: len(value) // 8 * 8], dtype="<u8")

    async def close(self) -> None:
        await self._pipeline.close()

    async def _read(self, version: int) -> Any:
        (reply,) = await self._changes_script.run(
            self._pipeline, [(COOCCURRENCE_KEYS, (version, STEP, MAX_REPLY_BYTES))]
        )
        return reply


def _decode(record: bytes) -> tuple[ItemKeys, NDArray[np.float64]]:
    """Decode a record; without neighbours if it is damaged, so that it harms no other item."""
    pairs = np.frombuffer(record[: len(record) // PAIR.itemsize * PAIR.itemsize], dtype=PAIR)
    return pairs["key"].astype(np.uint64), pairs["weight"].astype(np.float64)
