"""`nextup dump`: export stored events as Parquet files that `nextup train` reads."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import polars as pl

from app.commands.options.dump import DumpOptions
from app.environment import STORE_SETTINGS, load_settings
from app.settings import Settings
from app.stores.history import HistoryStore
from app.stores.session import check_store, open_store, redis_url
from models.progress import progress

CONCURRENT_READS = 16
MAX_FILE_EVENTS = 1_000_000
SCHEMA = pl.Schema(
    {
        "user_id": pl.String,
        "item_id": pl.String,
        "timestamp": pl.Int64,
        "type": pl.String,
        "recommendation_id": pl.String,
        "event_identity": pl.String,
    }
)
EventRow = tuple[str, str, int, str | None, str | None, str | None]


def run(arguments: DumpOptions) -> int:
    settings, out = load_settings(STORE_SETTINGS), arguments.out
    if out.exists() and any(out.iterdir()):
        raise ValueError(f"{out} is not empty; choose a new or empty folder for --out")
    with redis_url(settings) as url:
        asyncio.run(check_store(url, settings))
        out.mkdir(parents=True, exist_ok=True)
        users, events, files = asyncio.run(dump_events(url, settings, out))
    print(f"{events:,} events of {users:,} users in {files} files in {out}")
    print(json.dumps({"out": str(out), "users": users, "events": events, "files": files}))
    return 0


async def dump_events(url: str, settings: Settings, out: Path) -> tuple[int, int, int]:
    """Write all events, with timestamps in milliseconds; return the numbers of users, events and files.

    The store keeps a hash of each event_id: `event_identity`, under which `nextup load` stores the event again.
    """
    num_users = num_events = num_files = 0
    rows: list[EventRow] = []

    def write_file() -> None:
        nonlocal num_files
        pl.DataFrame(rows, schema=SCHEMA, orient="row").write_parquet(out / f"part-{num_files:05}.parquet")
        num_files += 1
        rows.clear()

    async with open_store(url, settings) as store:
        with progress("dump", 0, "users") as bar:
            async for user_ids in _iter_user_batches(store):
                for user_rows in await asyncio.gather(*(_read_rows(store, user_id) for user_id in user_ids)):
                    num_users += bool(user_rows)
                    num_events += len(user_rows)
                    rows += user_rows
                bar.advance(len(user_ids))
                if len(rows) >= MAX_FILE_EVENTS:
                    write_file()
    if rows or not num_files:
        write_file()
    return num_users, num_events, num_files


async def _read_rows(store: HistoryStore, user_id: str) -> list[EventRow]:
    history = await store.read_history(user_id)
    return [
        (
            user_id,
            event.item_id,
            event.timestamp_ms,
            event.type,
            event.recommendation_id,
            None if event.identity is None else event.identity.hex(),
        )
        for event in history.events
    ]


async def _iter_user_batches(store: HistoryStore) -> AsyncIterator[list[str]]:
    batch: list[str] = []
    async for user_id in store.iter_users():
        batch.append(user_id)
        if len(batch) == CONCURRENT_READS:
            yield batch
            batch = []
    if batch:
        yield batch
