"""`nextup bench memory`: disk and memory footprint of models by catalogue size, and Redis memory of histories."""

import asyncio
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from app.bench.footprint import Footprint, HistoryFootprint, format_footprints, format_histories, format_planned
from app.bench.record import collect_machine_facts, write_record
from app.bench.resources import ProcessMemory, ResidentMemory
from app.capacity.artifact_files import ItemText, estimate_artifact_files
from app.capacity.histories import detect_allocator, estimate_histories
from app.capacity.memory import estimate_worker_memory
from app.capacity.shapes import compute_shape
from app.cli.load_histories import load_events
from app.commands.options.bench_memory import BenchMemoryOptions
from app.environment import load_settings
from app.runtime.subprocesses import run_module
from app.settings import Settings
from app.stores.redis.servers import find_redis_server
from app.stores.session import open_store, redis_url
from models.artifact import INDEX
from models.benchmarks.synthetic_artifact import make_synthetic_artifact
from models.presets import preset as get_preset

TIMEOUT_S = 1800.0
HISTORY_USERS = 1000
START_MS = 1_767_225_600_000
MINUTE_MS = 60_000
LEGEND = """\
planned: estimate of `nextup plan` for one process without HTTP; measured after some batches, with every page read;
ratio: measured by planned"""


def run(arguments: BenchMemoryOptions) -> int:
    facts = collect_machine_facts()
    footprints = [
        _measure_footprint(make_synthetic_artifact(arguments.out, name, size), name, size)
        for name in arguments.presets.split(",")
        for size in arguments.items
    ]
    histories = [
        asyncio.run(_measure_histories(length, event_ids=event_ids))
        for length in arguments.events
        for event_ids in (False, True)
    ]
    tables = format_footprints(footprints), format_planned(footprints), format_histories(histories)
    text = "\n\n".join([*tables, LEGEND])
    result: dict[str, Any] = {
        "artifacts": [footprint.to_dict() for footprint in footprints],
        "histories": [footprint.to_dict() for footprint in histories],
    }
    print(text)
    if arguments.record:
        write_record(arguments.record, "memory", text, result, facts)
    print(json.dumps(result))
    return 0


def _measure_footprint(folder: Path, preset: str, items: int) -> Footprint:
    output = run_module("app.bench.artifact_memory", [str(folder)], timeout_s=TIMEOUT_S)
    measured = json.loads(output.splitlines()[-1])
    before, loaded = (ProcessMemory(**measured[name]) if measured[name] else None for name in ("before", "loaded"))
    base, used = (ResidentMemory(**measured[name]) if measured[name] else None for name in ("base", "used"))
    files = {file.name: file.stat().st_size for file in folder.iterdir() if file.is_file()}
    shape, text = compute_shape(get_preset(preset), items), ItemText.from_count(items)
    has_index = INDEX in files
    return Footprint(
        preset=preset,
        items=items,
        disk_bytes=sum(files.values()),
        before=before,
        loaded=loaded,
        load_s=measured["load_s"],
        used=used,
        planned=estimate_worker_memory(shape, text, base, index=has_index).without_service if base else None,
        planned_disk_bytes=sum(estimate_artifact_files(shape, text, index=has_index).values()),
    )


async def _measure_histories(events: int, *, event_ids: bool) -> HistoryFootprint:
    """Fill a temporary store as `nextup load` does, without event log, with the settings of the environment."""
    settings = load_settings()
    events = min(events, settings.history_max_events)
    with tempfile.TemporaryDirectory(prefix="nextup-bench-") as folder:
        temporary = settings.model_copy(update={"data_dir": Path(folder), "redis_url": None, "event_log": "off"})
        with redis_url(temporary) as url:
            async with open_store(url, temporary) as store:
                await store.append([])
                empty_bytes = (await store.read_usage()).memory_bytes
            await load_events(url, temporary, _make_log(events, event_ids=event_ids), stores_names=False)
            async with open_store(url, temporary) as store:
                filled_bytes = (await store.read_usage()).memory_bytes
    return HistoryFootprint(
        HISTORY_USERS,
        events,
        filled_bytes - empty_bytes,
        _estimate_bytes(events, settings, event_ids=event_ids),
        event_ids=event_ids,
    )


def _estimate_bytes(events: int, settings: Settings, *, event_ids: bool) -> int:
    """Estimate the Redis bytes of `_make_log`, for the redis-server that this installation uses."""
    estimate = estimate_histories(
        HISTORY_USERS,
        events,
        user_bytes=ItemText.from_count(HISTORY_USERS).id_bytes,
        max_events=settings.history_max_events,
        event_ids=event_ids,
        allocator=detect_allocator(find_redis_server()),
        spread=False,
    )
    return round(estimate.users * estimate.loaded) + estimate.tables + estimate.running


def _make_log(events: int, *, event_ids: bool) -> pl.DataFrame:
    """Make a log of HISTORY_USERS users with `events` events each, with ids as long as in a large catalogue."""
    rng = np.random.default_rng(0)
    items = pl.Series(rng.integers(1_000_000, 10_000_000, HISTORY_USERS * events)).cast(pl.String)
    users = pl.Series(np.repeat(np.arange(HISTORY_USERS), events)).cast(pl.String)
    times = START_MS + np.tile(np.arange(events), HISTORY_USERS) * MINUTE_MS
    log = pl.DataFrame({"user_id": "u" + users, "item_id": "i" + items, "timestamp": times})
    return log.with_row_index("event_id").cast({"event_id": pl.String}) if event_ids else log
