"""Bulk-load an interaction log into the history store.

Loading is idempotent: an event that is already stored counts as a duplicate. The events of a user are sent one batch
after the other, so that events of equal time keep the order of the log.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator

import polars as pl

from app.settings import Settings
from app.stores.history import HistoryStore
from app.stores.records import NewEvent
from app.stores.session import open_store
from models.data.identity import sort_events
from models.progress import progress

BATCH_EVENTS = 5_000
MAX_CONCURRENT_BATCHES = 4
TEXTS = ("event_id", "type", "recommendation_id", "event_identity")


async def load_events(url: str, settings: Settings, events: pl.DataFrame) -> Counter[str]:
    """Load events and count them by status.

    The events of each user are sent in time order, so almost all are plain appends.
    """
    missing = [pl.lit(None, pl.String).alias(name) for name in TEXTS if name not in events.columns]
    ordered = sort_events(events.with_columns(missing)).select("user_id", "item_id", "timestamp", *TEXTS)
    statuses: Counter[str] = Counter()
    async with open_store(url, settings) as store:
        with progress("load", ordered.height, "events") as bar:
            parts = split_by_user(ordered, BATCH_EVENTS)

            async def load_parts() -> None:
                for part in parts:
                    for batch in _iter_batches(part):
                        statuses.update(await _append(store, batch))
                        bar.advance(len(batch))

            async with asyncio.TaskGroup() as workers:
                for _ in range(MAX_CONCURRENT_BATCHES):
                    workers.create_task(load_parts())
    return statuses


def split_by_user(ordered: pl.DataFrame, min_events: int) -> Iterator[pl.DataFrame]:
    """Split events that are sorted by user into parts of at least so many events; a user is in one part only."""
    start = length = 0
    for events_of_user in ordered["user_id"].rle().struct.field("len").to_list():
        length += events_of_user
        if length >= min_events:
            yield ordered.slice(start, length)
            start, length = start + length, 0
    if length:
        yield ordered.slice(start, length)


async def _append(store: HistoryStore, events: list[NewEvent]) -> Counter[str]:
    return Counter(result.status for result in await store.append(events))


def _iter_batches(part: pl.DataFrame) -> Iterator[list[NewEvent]]:
    for rows in part.iter_slices(BATCH_EVENTS):
        yield [
            NewEvent(
                user_id,
                item_id,
                timestamp,
                event_id,
                event_type,
                recommendation_id,
                identity=None if identity is None else bytes.fromhex(identity),
            )
            for user_id, item_id, timestamp, event_id, event_type, recommendation_id, identity in rows.iter_rows()
        ]
