"""`nextup bench memory`: what models of several sizes take on disk and in memory, and what a history takes in Redis.

Knows which processes to start. What a footprint is, and how it is told, is in `app/bench/footprint.py`.
"""

import argparse
import asyncio
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from app.bench.footprint import Footprint, HistoryFootprint, format_footprints, format_histories, format_planned
from app.bench.record import collect_machine_facts, record
from app.bench.resources import ProcessMemory, ResidentMemory
from app.capacity.artifact_files import ItemText, artifact_files
from app.capacity.histories import detect_allocator, estimate_histories
from app.capacity.memory import estimate_worker_memory
from app.capacity.shapes import compute_shape
from app.cli.counts import counts_of
from app.cli.load_histories import load_events
from app.runtime.subprocesses import run_module
from app.settings import Settings
from app.stores.redis.embedded import find_redis_server
from app.stores.session import open_store, redis_url
from models.artifact import INDEX
from models.benchmarks.synthetic_artifact import make_synthetic_artifact
from models.presets import preset as named_preset

LONGEST_S = 1800.0
HISTORY_USERS = 1000
FIRST_MS = 1_767_225_600_000
MINUTE_MS = 60_000
EXPLAINED = """\
planned: what `nextup plan` says of one process without HTTP; measured once every page was read, after some batches;
ratio: measured by planned"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--items", default="10k,100k,1m", metavar="N,…", help="catalogue sizes (10k,100k,1m)")
    parser.add_argument("--presets", default="blossom,sasrec", help="whose sizes the models have (blossom,sasrec)")
    parser.add_argument("--events", default="10,50,200,1000", metavar="N,…", help="of a history (10,50,200,1000)")
    parser.add_argument("--out", type=Path, default=Path("var/ladder"), help="where artifacts are kept (var/ladder)")
    parser.add_argument("--record", type=Path, metavar="DIR", help="write memory.md and memory.json there")


def run(arguments: argparse.Namespace) -> int:
    sizes, lengths = counts_of("items", arguments.items), counts_of("events", arguments.events)
    facts = collect_machine_facts()
    footprints = [
        _footprint(make_synthetic_artifact(arguments.out, name, size), name, size)
        for name in arguments.presets.split(",")
        for size in sizes
    ]
    histories = [asyncio.run(_histories(length)) for length in lengths]
    tables = format_footprints(footprints), format_planned(footprints), format_histories(histories)
    text = "\n\n".join([*tables, EXPLAINED])
    result: dict[str, Any] = {
        "artifacts": [one.figures() for one in footprints],
        "histories": [one.figures() for one in histories],
    }
    print(text)
    if arguments.record:
        record(arguments.record, "memory", text, result, facts)
    print(json.dumps(result))
    return 0


def _footprint(folder: Path, preset: str, items: int) -> Footprint:
    said = json.loads(run_module("app.bench.artifact_memory", [str(folder)], timeout_s=LONGEST_S).splitlines()[-1])
    before, loaded = (ProcessMemory(**said[name]) if said[name] else None for name in ("before", "loaded"))
    base, used = (ResidentMemory(**said[name]) if said[name] else None for name in ("base", "used"))
    files = {file.name: file.stat().st_size for file in folder.iterdir() if file.is_file()}
    shape, text = compute_shape(named_preset(preset), items), ItemText.from_count(items)
    planned_files = artifact_files(shape, text, index=INDEX in files)
    planned = estimate_worker_memory(shape, text, base, index=INDEX in files).without_service if base else None
    return Footprint(
        preset, items, sum(files.values()), before, loaded, said["load_s"], used, planned, sum(planned_files.values())
    )


async def _histories(events: int) -> HistoryFootprint:
    """A store of its own, filled through the ordinary path, with the settings of the user's environment."""
    settings = Settings()
    events = min(events, settings.history_max_events)
    with tempfile.TemporaryDirectory(prefix="nextup-bench-") as folder:
        own = settings.model_copy(update={"data_dir": Path(folder), "redis_url": None})
        with redis_url(own) as url:
            async with open_store(url, own) as store:
                await store.append([])
                empty = await store.memory_bytes()
            await load_events(url, own, _log(events))
            async with open_store(url, own) as store:
                return HistoryFootprint(
                    HISTORY_USERS, events, await store.memory_bytes() - empty, _planned(events, settings)
                )


def _planned(events: int, settings: Settings) -> int:
    """Bytes of what `_log` writes, in the Redis that comes with nextup or lies on the path."""
    found = estimate_histories(
        HISTORY_USERS,
        events,
        id_bytes=len("i1000000"),
        user_bytes=ItemText.from_count(HISTORY_USERS).id_bytes,
        max_events=settings.history_max_events,
        allocator=detect_allocator(find_redis_server()),
        spread=False,
    )
    return round(found.users * found.loaded) + found.tables + found.running


def _log(events: int) -> pl.DataFrame:
    """HISTORY_USERS users with so many events each, of ids as long as those of a large catalogue."""
    rng = np.random.default_rng(0)
    items = pl.Series(rng.integers(1_000_000, 10_000_000, HISTORY_USERS * events)).cast(pl.String)
    users = pl.Series(np.repeat(np.arange(HISTORY_USERS), events)).cast(pl.String)
    times = FIRST_MS + np.tile(np.arange(events), HISTORY_USERS) * MINUTE_MS
    return pl.DataFrame({"user_id": "u" + users, "item_id": "i" + items, "timestamp": times})
