"""`nextup load`: bulk-load an interaction log into the history store (idempotent)."""

import asyncio
import json
import time

from app.cli.load_histories import load_events
from app.cli.log_files import read_log
from app.commands.options.load import LoadOptions
from app.settings import Settings
from app.stores.session import redis_url


def run(arguments: LoadOptions) -> int:
    settings = Settings()
    log = read_log(arguments)
    started_at = time.monotonic()
    with redis_url(settings) as url:
        statuses = asyncio.run(load_events(url, settings, log.events))
    seconds = time.monotonic() - started_at
    counts = {status: statuses[status] for status in ("stored", "duplicate", "late")}
    print(
        f"{counts['stored']:,} events stored, {counts['duplicate']:,} duplicates, "
        f"{counts['late']:,} too old for a full history"
    )
    result = {**counts, "bad_rows": log.report.bad_rows, "seconds": round(seconds, 2)}
    print(json.dumps(result | {"events_per_s": round(sum(counts.values()) / max(seconds, 1e-9))}))
    return 0
