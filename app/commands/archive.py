"""`nextup archive`: move the event log from Redis to the archive, and compact the archive."""

import asyncio
import json
import logging.config
import signal
import sys
import time
from contextlib import suppress

from app.archive.archiver import ArchiveBusy, Archiver, ArchiveRound, LeaseLost
from app.archive.background import ArchiveTask
from app.archive.compaction import Compaction, CompactionResult
from app.archive.storage import open_storage
from app.commands.options.archive import ArchiveOptions
from app.environment import STORE_SETTINGS, load_settings
from app.runtime.periodic import run_periodically
from app.settings import Settings
from app.stores.log_streams import LEASE_MS, LogStreams
from app.stores.session import open_store, redis_url
from app.telemetry.logs import log_config

LEASE_WAIT_S = LEASE_MS / 1000 + 10
"""Longer than a lease, so that one of a process that was killed has expired."""
RETRY_S = 0.2


def run(arguments: ArchiveOptions) -> int:
    settings = load_settings(STORE_SETTINGS)
    with redis_url(settings) as url:
        if not (arguments.once or arguments.compact):
            logging.config.dictConfig(log_config(settings.log_format))
            asyncio.run(_archive_until_stopped(url, settings))
            return 0
        result, compaction = asyncio.run(archive_once(url, settings, compact=arguments.compact))
    print(f"{result.events:,} events archived in {result.files} files in {settings.archive_location}")
    answer = {"folder": settings.archive_location, "events": result.events, "files": result.files}
    if compaction is not None:
        print(
            f"{compaction.rows_removed:,} rows removed, {compaction.files_before} files before, "
            f"{compaction.files_after} after"
        )
        answer |= {"rows_removed": compaction.rows_removed, "files_after": compaction.files_after}
    print(json.dumps(answer))
    return 0


async def archive_once(
    url: str, settings: Settings, *, compact: bool = False
) -> tuple[ArchiveRound, CompactionResult | None]:
    """Archive what the log has now, and compact the archive; ValueError while another process holds the lease."""
    storage = open_storage(settings.archive_location)
    async with open_store(url, settings) as store:
        archiver = Archiver(LogStreams(store.client), storage)
        deadline = time.monotonic() + LEASE_WAIT_S
        while True:
            try:
                async with archiver.hold_lease() as lease:
                    result = await archiver.archive(lease)
                    return result, await Compaction(storage).compact(lease) if compact else None
            except (ArchiveBusy, LeaseLost):
                if time.monotonic() > deadline:
                    raise ValueError(
                        "another process has archived the event log all the time; stop it, or try again later"
                    ) from None
            await asyncio.sleep(RETRY_S)


async def _archive_until_stopped(url: str, settings: Settings) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError):  # Windows
            loop.add_signal_handler(number, stopping.set)
    async with open_store(url, settings) as store:
        task = ArchiveTask(LogStreams(store.client), settings.with_changes(archive="auto"), lambda: 0)
        print(f"archiving every {settings.archive_s:g} s to {settings.archive_location}", file=sys.stderr)
        async with run_periodically(
            task.run_round, every_s=settings.archive_s, name="archive", starts_immediately=True
        ):
            await stopping.wait()
