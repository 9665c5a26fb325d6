"""`nextup dump`: what the store holds, as Parquet files that `nextup train` reads."""

import argparse
import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import polars as pl

from app.settings import Settings
from app.stores.history import HistoryStore
from app.stores.session import open_store, redis_url
from models.progress import progress

READS_AT_ONCE = 16
PART_EVENTS = 1_000_000
SCHEMA = pl.Schema(
    {
        "user_id": pl.String,
        "item_id": pl.String,
        "timestamp": pl.Int64,
        "type": pl.String,
        "recommendation_id": pl.String,
    }
)
Row = tuple[str, str, int, str | None, str | None]


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="a new or empty folder")


def run(arguments: argparse.Namespace) -> int:
    settings, out = Settings(), arguments.out
    if out.exists() and any(out.iterdir()):
        raise ValueError(f"{out} is not empty; a dump wants a folder of its own")
    out.mkdir(parents=True, exist_ok=True)
    with redis_url(settings) as url:
        users, events, files = asyncio.run(dump_events(url, settings, out))
    print(f"{events:,} events of {users:,} users in {files} files in {out}")
    print(json.dumps({"out": str(out), "users": users, "events": events, "files": files}))
    return 0


async def dump_events(url: str, settings: Settings, out: Path) -> tuple[int, int, int]:
    """The numbers of users, events and files; timestamps are milliseconds."""
    users = events = files = 0
    rows: list[Row] = []

    def write() -> None:
        nonlocal files
        pl.DataFrame(rows, schema=SCHEMA, orient="row").write_parquet(out / f"part-{files:05}.parquet")
        files += 1
        rows.clear()

    async with open_store(url, settings) as store:
        with progress("dump", 0, "users") as shown:
            async for some_users in _batches(store):
                for user_rows in await asyncio.gather(*(_rows(store, user_id) for user_id in some_users)):
                    users += bool(user_rows)
                    events += len(user_rows)
                    rows += user_rows
                shown.advance(len(some_users))
                if len(rows) >= PART_EVENTS:
                    write()
    if rows or not files:
        write()
    return users, events, files


async def _rows(store: HistoryStore, user_id: str) -> list[Row]:
    history = await store.read_history(user_id)
    return [(user_id, e.item_id, e.timestamp_ms, e.type, e.recommendation_id) for e in history.events]


async def _batches(store: HistoryStore) -> AsyncIterator[list[str]]:
    batch: list[str] = []
    async for user_id in store.iter_users():
        batch.append(user_id)
        if len(batch) == READS_AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch
