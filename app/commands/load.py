"""`nextup load`: bulk-load an interaction log into the history store (idempotent)."""

import asyncio
import json
import time

from app.cli.load_histories import load_events
from app.cli.log_files import read_log
from app.commands.options.load import LoadOptions
from app.environment import STORE_SETTINGS, load_settings
from app.history_types import HistoryTypes
from app.stores.session import check_store, redis_url

TYPES_RULE = "NEXTUP_HISTORY_TYPES"
TYPES_OPTION = "set it to the types that are choices of an item"


def run(arguments: LoadOptions) -> int:
    settings = load_settings(STORE_SETTINGS)
    with redis_url(settings) as url:
        asyncio.run(check_store(url, settings))  # before the log is read
        log = read_log(arguments)
        log.select_types(HistoryTypes(settings.history_types).includes, TYPES_RULE, TYPES_OPTION)
        started_at = time.monotonic()
        statuses = asyncio.run(load_events(url, settings, log.events))
    seconds = time.monotonic() - started_at
    counts = {status: statuses[status] for status in ("stored", "duplicate", "late")}
    print(
        f"{counts['stored']:,} events stored, {counts['duplicate']:,} duplicates, "
        f"{counts['late']:,} too old for a full history"
    )
    result = {**counts, **log.to_json(), "seconds": round(seconds, 2)}
    print(json.dumps(result | {"events_per_s": round(sum(counts.values()) / max(seconds, 1e-9))}))
    return 0
