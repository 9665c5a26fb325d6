"""Bulk-load an interaction log into the history store.

Loading is idempotent: an event that is already stored counts as a duplicate.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator

import polars as pl

from app.settings import Settings
from app.stores.history import HistoryStore
from app.stores.records import NewEvent
from app.stores.session import open_store
from models.progress import progress

BATCH_EVENTS = 5_000
MAX_CONCURRENT_BATCHES = 4


async def load_events(url: str, settings: Settings, events: pl.DataFrame) -> Counter[str]:
    """Load events and count them by status.

    The events of each user are sent in time order, so almost all are plain appends.
    """
    ordered = events.sort("user_id", "timestamp", maintain_order=True)
    statuses: Counter[str] = Counter()
    async with open_store(url, settings) as store:
        with progress("load", ordered.height, "events") as bar:
            batches = _iter_batches(ordered)

            async def load_batches() -> None:
                for batch in batches:
                    statuses.update(await _append(store, batch))
                    bar.advance(len(batch))

            async with asyncio.TaskGroup() as workers:
                for _ in range(MAX_CONCURRENT_BATCHES):
                    workers.create_task(load_batches())
    return statuses


async def _append(store: HistoryStore, events: list[NewEvent]) -> Counter[str]:
    return Counter(result.status for result in await store.append(events))


def _iter_batches(ordered: pl.DataFrame) -> Iterator[list[NewEvent]]:
    for rows in ordered.select("user_id", "item_id", "timestamp").iter_slices(BATCH_EVENTS):
        yield [NewEvent(user_id, item_id, timestamp) for user_id, item_id, timestamp in rows.iter_rows()]
