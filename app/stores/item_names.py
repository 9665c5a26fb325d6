"""Ids of items by their key: from the catalogue, or from a bounded side index in Redis for other items.

Histories hold keys, and a catalogue has ids only for its own items. The index holds at most MAX_NAMES_PER_BUCKET ids in
each of NAME_BUCKETS hashes; a full hash evicts a random id. An id that is evicted is stored again by an event of a
process that has not stored it.
"""

from collections.abc import Callable, Collection, Iterable
from typing import Any, Protocol

import numpy as np

from app.stores.keys import build_names_key
from app.stores.redis.client import ConcurrencyLimiter, Script
from app.stores.redis.pipelines import Command, CommandPipeline
from models.catalogue.item_key import ItemKeys, KeyIndex, item_key

MAX_NAMES_PER_BUCKET = 128
MAX_REMEMBERED = 100_000
"""Keys that a process remembers as stored, some 10 MB."""


class NamedItems(Protocol):
    """The part of a catalogue that names items."""

    @property
    def keys(self) -> KeyIndex: ...

    def select_known(self, item_ids: Collection[str]) -> set[str]:
        """Return those of `item_ids` that are in the catalogue."""

    def item_id(self, index: int) -> str: ...


class ItemNames:
    def __init__(self, pipeline: CommandPipeline, limiter: ConcurrencyLimiter) -> None:
        self._pipeline = pipeline
        self._limiter = limiter
        self._script = Script("item_names.lua")
        self._stored: dict[bytes, None] = {}
        self.get_catalogue: Callable[[], NamedItems] | None = None
        """Set by a process that serves a model: items of its catalogue are not stored."""

    async def store(self, item_ids: Iterable[str]) -> None:
        """Store the ids that this process has not stored; StoreUnavailable if Redis does not take them."""
        buckets: dict[bytes, list[bytes]] = {}
        new_keys = []
        distinct = set(item_ids)
        if self.get_catalogue is not None and distinct:
            distinct -= self.get_catalogue().select_known(distinct)
        for item_id in distinct:
            key = item_key(item_id)
            if key not in self._stored:
                new_keys.append(key)
                buckets.setdefault(build_names_key(int.from_bytes(key, "little")), []).extend((key, item_id.encode()))
        if not buckets:
            return
        async with self._limiter.slot("names"):
            calls = [((bucket,), (MAX_NAMES_PER_BUCKET, *pairs)) for bucket, pairs in buckets.items()]
            await self._script.run(self._pipeline, calls)
        self._stored.update(dict.fromkeys(new_keys))
        while len(self._stored) > MAX_REMEMBERED:
            del self._stored[next(iter(self._stored))]

    async def find(self, item_keys: Iterable[int]) -> dict[int, str]:
        """Return the ids that the catalogue or the index has; StoreUnavailable if Redis does not answer."""
        distinct = list(dict.fromkeys(item_keys))
        names = self._find_in_catalogue(np.array(distinct, dtype=np.uint64))
        buckets: dict[bytes, list[int]] = {}
        for key in distinct:
            if key not in names:
                buckets.setdefault(build_names_key(key), []).append(key)
        if not buckets:
            return names
        commands = [
            Command(bucket, ("HMGET", bucket, *(key.to_bytes(8, "little") for key in keys)))
            for bucket, keys in buckets.items()
        ]
        async with self._limiter.slot("names"):
            replies: list[Any] = await self._pipeline.send(commands)
            for keys, reply in zip(buckets.values(), replies, strict=True):
                if isinstance(reply, Exception):
                    raise reply
                names.update((key, name.decode()) for key, name in zip(keys, reply, strict=True) if name is not None)
        return names

    def _find_in_catalogue(self, item_keys: ItemKeys) -> dict[int, str]:
        if self.get_catalogue is None or not len(item_keys):
            return {}
        catalogue = self.get_catalogue()
        pairs = zip(item_keys.tolist(), catalogue.keys.find_indices(item_keys).tolist(), strict=True)
        return {key: catalogue.item_id(index) for key, index in pairs if index}
