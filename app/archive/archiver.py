"""The archiver: moves entries of the event log from Redis to Parquet files, without losing or showing one twice.

Each step is safe to stop at. Entries are read, written to a file under a temporary name and synced to disk, the file
is renamed, and only then the entries are removed from the streams. A process that dies before the removal leaves
entries in both places; the next round writes them again, and readers count equal events once.

The lease makes this the only archiver. It is renewed before a file becomes visible and again before entries are
removed, so an archiver that was suspended longer than its lease changes nothing afterwards.
"""

import asyncio
import logging
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import polars as pl

from app.archive.files import (
    ARCHIVER,
    CONTROLS_FOLDER,
    DAY_PREFIX,
    MANY_STREAMS,
    ArchiveFile,
    ArchiveStorage,
    name_file,
)
from app.archive.rows import (
    ControlRow,
    EventRow,
    build_control_row,
    build_controls,
    build_event_rows,
    build_events,
    drop_empty_position,
    find_log_range,
    sort_by_log,
    split_by_day,
)
from app.stores.lease import Lease
from app.stores.log_entries import LogEntry, LogId
from app.stores.log_streams import LogStreams

log = logging.getLogger("nextup")

ENTRIES_PER_READ = 500
MAX_BATCH_EVENTS = 50_000
"""Events of one file, some 10 MB of memory while it is written."""
EVENTS_PER_PAUSE = 500
"""Events that are decoded before requests of the same process may run: half a millisecond."""


class LeaseLost(Exception):
    """The lease expired or another process holds it; nothing that was not finished has happened."""


class ArchiveBusy(Exception):
    """Another process is archiving."""


@dataclass(slots=True)
class Batch:
    """Rows that are written together, and the last id of each stream that they cover."""

    events: list[EventRow] = field(default_factory=list)
    controls: list[ControlRow] = field(default_factory=list)
    last_ids: dict[bytes, LogId] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.events) + len(self.controls)


@dataclass(frozen=True, slots=True)
class ArchiveRound:
    """The result of a round: archived events and controls, and written files."""

    events: int = 0
    controls: int = 0
    files: int = 0

    def __add__(self, other: "ArchiveRound") -> "ArchiveRound":
        return ArchiveRound(self.events + other.events, self.controls + other.controls, self.files + other.files)


class Archiver:
    def __init__(
        self,
        streams: LogStreams,
        storage: ArchiveStorage,
        *,
        max_batch_events: int = MAX_BATCH_EVENTS,
        on_step: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`on_step` is called behind each step of a batch: read, written, published, trimmed."""
        self._streams = streams
        self._storage = storage
        self._max_batch_events = max_batch_events
        self._on_step = on_step

    @asynccontextmanager
    async def hold_lease(self) -> AsyncIterator[Lease]:
        """Hold the lease during the block; ArchiveBusy if another process holds it."""
        lease = self._streams.make_lease()
        if not await lease.acquire():
            raise ArchiveBusy
        try:
            await asyncio.to_thread(self._storage.remove_leftovers)
            yield lease
        finally:
            await lease.release()

    async def archive(self, lease: Lease) -> ArchiveRound:
        """Archive every entry that the log has when the round begins.

        LeaseLost if another archiver took over, OSError if the storage fails, StoreUnavailable if Redis does not
        answer; nothing is lost then, and the next round repeats what is not finished.
        """
        result, batch = ArchiveRound(), Batch()
        for key, length in (await self._streams.read_lengths()).items():
            remaining, after = length, None
            while remaining > 0:
                page = await self._streams.read_page(key, after, min(remaining, ENTRIES_PER_READ))
                if page.last_id is None:
                    break
                await self._add_page(batch, key, page.entries)
                batch.last_ids[key] = after = page.last_id
                remaining -= ENTRIES_PER_READ
                if len(batch) >= self._max_batch_events:
                    result += await self._flush(batch, lease)
                    batch = Batch()
        return result + await self._flush(batch, lease)

    async def _add_page(self, batch: Batch, key: bytes, entries: list[LogEntry]) -> None:
        stream, pause_at = key.decode(), len(batch.events) + EVENTS_PER_PAUSE
        for entry in entries:
            if entry.control is not None:
                batch.controls.append(build_control_row(entry, stream))
                continue
            try:
                batch.events += build_event_rows(entry, stream)
            except (struct.error, ValueError) as error:
                log.error("the event log %s has damaged records at %d-%d: %s", stream, *entry.log_id, error)
            if len(batch.events) >= pause_at:
                await asyncio.sleep(0)
                pause_at = len(batch.events) + EVENTS_PER_PAUSE

    async def _flush(self, batch: Batch, lease: Lease) -> ArchiveRound:
        """Write a batch and remove its entries from the streams."""
        self._on_step("read")
        stream = next(iter(batch.last_ids)).decode() if len(batch.last_ids) == 1 else MANY_STREAMS
        files = await asyncio.to_thread(_build_files, batch, stream.replace(":", "."))
        for file, rows in files:
            await self._write(file, rows, lease)
        if batch.last_ids and not await lease.renew():
            raise LeaseLost
        for key, last_id in batch.last_ids.items():
            await self._streams.trim(key, last_id)
        self._on_step("trimmed")
        return ArchiveRound(len(batch.events), len(batch.controls), len(files))

    async def _write(self, file: ArchiveFile, rows: pl.DataFrame, lease: Lease) -> None:
        prepared = await asyncio.to_thread(self._storage.prepare, file, rows)
        self._on_step("written")
        if not await lease.renew():
            prepared.discard()
            raise LeaseLost
        await asyncio.to_thread(prepared.publish)
        self._on_step("published")
        if not await lease.renew():
            # Another archiver may have compacted the archive since this one read the entries. They are in its files or
            # still in the streams, so this file is not needed.
            await asyncio.to_thread(self._storage.remove, [file])
            raise LeaseLost


def _build_files(batch: Batch, stream: str) -> list[tuple[ArchiveFile, pl.DataFrame]]:
    """Controls come first: an erasure is visible before its entries leave the stream."""
    files: list[tuple[ArchiveFile, pl.DataFrame]] = []
    if batch.controls:
        controls = sort_by_log(build_controls(batch.controls))
        files.append((name_file(CONTROLS_FOLDER, find_log_range(controls), stream, ARCHIVER), controls))
    if batch.events:
        for day, events in split_by_day(sort_by_log(build_events(batch.events))):
            files.append(
                (name_file(f"{DAY_PREFIX}{day}", find_log_range(events), stream, ARCHIVER), drop_empty_position(events))
            )
    return files
