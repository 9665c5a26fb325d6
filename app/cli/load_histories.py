"""Loads an interaction log into the store of histories.

Loading is idempotent: an event that is stored already counts as a duplicate.
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

CALL_EVENTS = 5_000
CALLS_AT_ONCE = 4


async def load_events(url: str, settings: Settings, events: pl.DataFrame) -> Counter[str]:
    """How many events had which status. Every user's events go in time order, so almost all are plain appends."""
    ordered = events.sort("user_id", "timestamp", maintain_order=True)
    outcomes: Counter[str] = Counter()
    async with open_store(url, settings) as store:
        with progress("load", ordered.height, "events") as shown:
            calls = _calls(ordered)

            async def work() -> None:
                for call in calls:
                    outcomes.update(await _append(store, call))
                    shown.advance(len(call))

            async with asyncio.TaskGroup() as workers:
                for _ in range(CALLS_AT_ONCE):
                    workers.create_task(work())
    return outcomes


async def _append(store: HistoryStore, events: list[NewEvent]) -> Counter[str]:
    return Counter(applied.status for applied in await store.append(events))


def _calls(ordered: pl.DataFrame) -> Iterator[list[NewEvent]]:
    for part in ordered.select("user_id", "item_id", "timestamp").iter_slices(CALL_EVENTS):
        yield [NewEvent(user_id, item_id, timestamp) for user_id, item_id, timestamp in part.iter_rows()]
