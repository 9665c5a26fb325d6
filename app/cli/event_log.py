"""Events of the service's own log, for commands that train on them or export them.

The log is the archive, the entries in Redis that are not archived yet, and the histories of users whose events were
stored before there was a log.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl

from app.archive.reader import EventLog, read_event_log
from app.archive.rows import DUMP_COLUMNS, EventRow, build_events
from app.archive.storage import open_storage
from app.environment import STORE_SETTINGS, load_settings
from app.settings import Settings
from app.stores.history import HistoryStore
from app.stores.log_streams import LogStreams
from app.stores.old_users import iter_old_events
from app.stores.records import HistoryEvent
from app.stores.session import open_store, redis_url
from models.data.bad_rows import BadInput, ReadReport
from models.data.interactions import Interactions
from models.progress import progress

EVENTS_SOURCE = "events://"


def is_event_log(sources: Sequence[Path]) -> bool:
    """Whether a command was given `events://`, of which a path keeps one slash or none; BadInput if next to files."""
    matches = [str(source) in ("events:", "events:/") for source in sources]
    if any(matches) and len(sources) > 1:
        raise BadInput(f"{EVENTS_SOURCE} is the whole log of the service; leave out the other files")
    return any(matches)


def read_own_log() -> Interactions:
    """Read the log of the service that the settings name; BadInput if it has no events."""
    settings = load_settings(STORE_SETTINGS)
    with redis_url(settings) as url:
        log = asyncio.run(collect_events(url, settings))
    if log.events.is_empty():
        raise BadInput(
            f"{EVENTS_SOURCE}: there are no events in Redis or in {settings.archive_location}; "
            "check NEXTUP_REDIS_URL, NEXTUP_DATA_DIR and NEXTUP_EVENT_LOG_DIR"
        )
    rows = log.events.height + log.repetitions
    report = ReadReport(log.files, rows, 0, (), {}, duplicates=log.repetitions)
    return Interactions(log.events.select(DUMP_COLUMNS), report)


async def collect_events(url: str, settings: Settings) -> EventLog:
    """Read every event that exists, once."""
    async with open_store(url, settings) as store:
        older_events = await _read_older_events(store)
        log = await read_event_log(
            LogStreams(store.client), open_storage(settings.archive_location), older_events=older_events
        )
        if settings.event_log == "off" and log.events.height == older_events.height:
            log = replace(log, events=pl.concat([older_events, await _read_histories(store)]))
        return log


async def _read_older_events(store: HistoryStore) -> pl.DataFrame:
    """Read events of users that were stored before there was a log, in front of all entries of the log."""
    rows: list[EventRow] = []
    with progress("read", 0, "users") as bar:
        async for user_id, events in iter_old_events(store):
            rows += [_make_row(user_id, event) for event in events]
            bar.advance(1)
    return build_events(rows)


async def _read_histories(store: HistoryStore) -> pl.DataFrame:
    """Read what histories retain, which is all there is without an event log: items that have a name, and times."""
    rows: list[EventRow] = []
    async for user_id in store.iter_users():
        if not await store.read_old_events(user_id):
            rows += [
                (user_id, entry.item_id, entry.timestamp_ms, None, None, None, 0, 0, "", None)
                for entry in (await store.read_history(user_id)).events
                if entry.item_id is not None
            ]
    return build_events(rows)


def _make_row(user_id: str, event: HistoryEvent) -> EventRow:
    identity = None if event.identity is None else event.identity.hex()
    return (user_id, event.item_id, event.timestamp_ms, event.type, event.recommendation_id, identity, 0, 0, "", None)
