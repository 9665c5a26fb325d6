"""Bulk-load an interaction log into the history store.

Loading is idempotent: an event that is already stored counts as a duplicate. The events of a user are sent one batch
after the other, so that events of equal time keep the order of the log.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator

import polars as pl

from app.archive.background import run_archiving
from app.events.new_item_sources import AnnouncedSource
from app.events.new_items import NewItemEvents
from app.settings import Settings
from app.stores.history import HistoryStore
from app.stores.log_streams import LogStreams
from app.stores.records import NewEvent
from app.stores.session import open_live_items, open_store
from models.data.identity import sort_events
from models.progress import progress

BATCH_EVENTS = 5_000
MAX_CONCURRENT_BATCHES = 4
READ_S = 30.0
"""Longest wait for the histories of users with events of new items."""
ARCHIVE_S = 10.0
"""Seconds between two rounds of the archiver during a load."""
TEXTS = ("event_id", "type", "recommendation_id", "event_identity")


async def load_events(url: str, settings: Settings, events: pl.DataFrame, *, stores_names: bool = True) -> Counter[str]:
    """Load events and count them by status.

    The events of each user are sent in time order, so almost all are plain appends.
    """
    missing = [pl.lit(None, pl.String).alias(name) for name in TEXTS if name not in events.columns]
    ordered = sort_events(events.with_columns(missing)).select("user_id", "item_id", "timestamp", *TEXTS)
    statuses: Counter[str] = Counter()
    archive_s = min(settings.archive_s, ARCHIVE_S)
    async with (
        open_store(url, settings, stores_names=stores_names) as store,
        open_live_items(url, settings) as items,
        # A large log would otherwise fill the event log, as no service may be running.
        run_archiving(
            store, LogStreams(store.client), settings.with_changes(archive_s=archive_s), starts_immediately=False
        ),
    ):
        new_items = NewItemEvents(
            store, items.cooccurrences, AnnouncedSource(items.cooccurrences), max_users=BATCH_EVENTS, read_s=READ_S
        )
        with progress("load", ordered.height, "events") as bar:
            parts = split_by_user(ordered, BATCH_EVENTS)

            async def load_parts() -> None:
                for part in parts:
                    for batch in _iter_batches(part):
                        statuses.update(await _append(store, batch, new_items))
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


async def _append(store: HistoryStore, events: list[NewEvent], new_items: NewItemEvents) -> Counter[str]:
    results = await store.append(events)
    pairs = zip(events, results, strict=True)
    await new_items.count([event for event, result in pairs if result.status == "stored"])
    return Counter(result.status for result in results)


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
