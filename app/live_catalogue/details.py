"""Titles and other details of items for answers, from the live catalogue."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress

from app.errors import ServiceError
from app.inference.live.items import LiveItems
from app.stores.item_records import ItemRecord
from app.stores.live_items import LiveItemStore


class ItemDetails:
    """Reads records when an answer needs them, so that no process holds the titles of all items."""

    def __init__(self, store: LiveItemStore, items: LiveItems) -> None:
        self._store = store
        self._items = items

    async def read(self, item_ids: Sequence[str], deadline: float) -> Mapping[str, ItemRecord]:
        """Read the records of the items that have one; none if Redis does not answer before `deadline`.

        That is a value of the running loop's `time()`.
        """
        if not self._items.count or not item_ids:
            return {}
        with suppress(TimeoutError, ServiceError):
            async with asyncio.timeout_at(deadline):
                records = await self._store.read(item_ids)
            pairs = zip(item_ids, records, strict=True)
            return {item_id: record for item_id, record in pairs if record is not None}
        return {}
