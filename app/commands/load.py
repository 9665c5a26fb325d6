"""`nextup load`: a log into the store of histories. May be repeated: an event that is there counts as a duplicate."""

import argparse
import asyncio
import json
import time
from collections import Counter
from collections.abc import Iterator

import polars as pl

from app.commands.log_files import add_log_arguments, read_log
from app.commands.store import open_store, redis_url
from app.settings import Settings
from app.stores.history import HistoryStore
from app.stores.records import NewEvent
from models.progress import progress

CALL_EVENTS = 5_000
CALLS_AT_ONCE = 4


def configure(parser: argparse.ArgumentParser) -> None:
    add_log_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    settings = Settings()
    log = read_log(arguments)
    began = time.monotonic()
    with redis_url(settings) as url:
        outcomes = asyncio.run(load_events(url, settings, log.events))
    seconds = time.monotonic() - began
    counts = {status: outcomes[status] for status in ("stored", "duplicate", "late")}
    print(f"{counts['stored']:,} events stored, {counts['duplicate']:,} were there, {counts['late']:,} too old to keep")
    result = {**counts, "bad_rows": log.report.bad_rows, "seconds": round(seconds, 2)}
    print(json.dumps(result | {"events_per_s": round(sum(counts.values()) / max(seconds, 1e-9))}))
    return 0


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
