"""`nextup dump`: export all events as Parquet files that `nextup train` and `nextup load` read."""

import asyncio
import json

import polars as pl

from app.archive.rows import DUMP_COLUMNS, POSITION
from app.cli.event_log import collect_events
from app.commands.options.dump import DumpOptions
from app.environment import STORE_SETTINGS, load_settings
from app.runtime.folders import PRIVATE_FOLDER, open_private
from app.stores.session import check_store, redis_url

MAX_FILE_EVENTS = 1_000_000


def run(arguments: DumpOptions) -> int:
    settings, out = load_settings(STORE_SETTINGS), arguments.out
    if out.exists() and any(out.iterdir()):
        raise ValueError(f"{out} is not empty; choose a new or empty folder for --out")
    with redis_url(settings) as url:
        asyncio.run(check_store(url, settings))
        out.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        log = asyncio.run(collect_events(url, settings))
    # Timestamps are milliseconds. `event_identity` is a hash of the event_id, under which `nextup load` stores the
    # event again. It ignores `position`.
    events = log.events.select(*DUMP_COLUMNS, POSITION)
    parts = list(events.iter_slices(MAX_FILE_EVENTS)) or [events]
    for number, part in enumerate(parts):
        with open(out / f"part-{number:05}.parquet", "wb", opener=open_private) as file:
            part.write_parquet(file)
    users = events.select(pl.col("user_id").n_unique()).item()
    print(f"{events.height:,} events of {users:,} users in {len(parts)} files in {out}")
    print(json.dumps({"out": str(out), "users": users, "events": events.height, "files": len(parts)}))
    return 0
