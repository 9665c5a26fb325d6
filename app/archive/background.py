"""The archiver inside the service: a round every NEXTUP_ARCHIVE_S seconds, in the process that gets the lease.

Every process also measures the log, so that a stalled archiver is visible. polars is imported only where entries are
archived.
"""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from app.errors import StoreUnavailable
from app.runtime.periodic import run_periodically
from app.settings import Settings
from app.stores.history import HistoryStore
from app.stores.log_streams import LogStreams
from app.telemetry.metrics import (
    ARCHIVE_ROUNDS,
    ARCHIVED_EVENTS,
    EVENT_LOG_DROPPED,
    EVENT_LOG_ENTRIES,
    EVENT_LOG_LIMIT,
    EVENT_LOG_LONGEST,
    EVENT_LOG_OLDEST,
)

log = logging.getLogger("nextup")


class ArchiveTask:
    def __init__(self, streams: LogStreams, settings: Settings, count_dropped: Callable[[], int]) -> None:
        """`count_dropped` returns the entries that this process has dropped since it began."""
        self._streams = streams
        self._count_dropped = count_dropped
        self._dropped = 0
        self._location = settings.archive_location
        EVENT_LOG_LIMIT.set(settings.event_log_limit)  # not in the first round, which Redis may delay
        self._is_on = settings.archive == "auto"
        self._has_failed = False

    async def run_round(self) -> None:
        """Measure the log, and archive it if this process gets the lease."""
        try:
            usage = await self._streams.read_usage()
        except StoreUnavailable:  # the health check reports it
            return
        dropped = self._count_dropped()
        EVENT_LOG_DROPPED.inc(dropped - self._dropped)
        self._dropped = dropped
        EVENT_LOG_ENTRIES.set(usage.entries)
        EVENT_LOG_LONGEST.set(usage.longest_stream)
        EVENT_LOG_OLDEST.set(0 if usage.oldest_ms is None else usage.oldest_ms / 1000)
        if self._is_on and usage.entries:
            await self._archive()

    async def _archive(self) -> None:
        from app.archive.archiver import ArchiveBusy, Archiver, LeaseLost
        from app.archive.storage import open_storage

        archiver = Archiver(self._streams, open_storage(self._location))
        try:
            async with archiver.hold_lease() as lease:
                result = await archiver.archive(lease)
        except ArchiveBusy:
            return
        except (StoreUnavailable, LeaseLost, OSError) as error:
            ARCHIVE_ROUNDS.labels("failed").inc()
            if not self._has_failed:  # one log line per outage
                log.warning(
                    "the event log stays in Redis, because it cannot be archived to %s: %s; free the disk or correct "
                    "NEXTUP_EVENT_LOG_DIR, before NEXTUP_EVENT_LOG_MAX_ENTRIES is reached",
                    self._location,
                    describe(error),
                )
            self._has_failed = True
            return
        if self._has_failed:
            log.warning("the event log is archived again")
        self._has_failed = False
        ARCHIVE_ROUNDS.labels("archived").inc()
        ARCHIVED_EVENTS.inc(result.events)


def describe(error: Exception) -> str:
    """Describe in one line why a round failed."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join((str(error) or type(error).__name__).split())


@asynccontextmanager
async def run_archiving(
    store: HistoryStore, streams: LogStreams, settings: Settings, *, starts_immediately: bool = True
) -> AsyncIterator[None]:
    """Archive in the background while the block runs."""
    task = ArchiveTask(streams, settings, lambda: store.dropped_log_entries)
    async with run_periodically(
        task.run_round, every_s=settings.archive_s, name="archive", starts_immediately=starts_immediately
    ):
        yield
