"""Read the event log as it is now: the archive and the entries that are not archived yet, each event once.

The streams are read before the archive, because entries only move from there to here. A compaction that runs meanwhile
replaces files; the read then starts again.
"""

import asyncio
import struct
from dataclasses import dataclass

import polars as pl

from app.archive.files import ArchiveFile, ArchiveStorage
from app.archive.resolution import apply_controls, drop_repetitions
from app.archive.rows import (
    NO_CONTROLS,
    NO_EVENTS,
    ControlRow,
    EventRow,
    add_position,
    build_control_row,
    build_controls,
    build_event_rows,
    build_events,
)
from app.errors import StoreUnavailable
from app.stores.log_streams import LogStreams

ENTRIES_PER_READ = 1_000
MAX_ATTEMPTS = 10


class ArchiveUnstable(StoreUnavailable):
    """Compactions replaced files of the archive during every attempt to read it."""


@dataclass(frozen=True, slots=True)
class EventLog:
    """Events of the log in its order; `repetitions` counts rows of events that the log has more than once."""

    events: pl.DataFrame
    files: int
    repetitions: int


@dataclass(frozen=True, slots=True)
class LogRows:
    """Events and controls as they are stored."""

    events: pl.DataFrame
    controls: pl.DataFrame


async def read_event_log(
    streams: LogStreams, storage: ArchiveStorage, *, older_events: pl.DataFrame = NO_EVENTS
) -> EventLog:
    """Read all events that exist; `older_events` are from before the log.

    ArchiveUnstable if the archive is rewritten all the time; OSError if a file cannot be read.
    """
    for _ in range(MAX_ATTEMPTS):
        live = await read_streams(streams)
        archived = await asyncio.to_thread(_read_archive, storage)
        if archived is not None:
            return await asyncio.to_thread(_combine, older_events, archived[0], live, archived[1])
        await asyncio.sleep(0.1)
    raise ArchiveUnstable(f"{storage} was rewritten during {MAX_ATTEMPTS} attempts to read it; try again later")


async def read_streams(streams: LogStreams) -> LogRows:
    """Read the entries that the streams have now."""
    events: list[EventRow] = []
    controls: list[ControlRow] = []
    parts: list[pl.DataFrame] = []
    for key, length in (await streams.read_lengths()).items():
        after, remaining = None, length
        while remaining > 0:
            page = await streams.read_page(key, after, min(remaining, ENTRIES_PER_READ))
            if page.last_id is None:
                break
            after, remaining = page.last_id, remaining - ENTRIES_PER_READ
            for entry in page.entries:
                if entry.control is not None:
                    controls.append(build_control_row(entry, key.decode()))
                    continue
                try:
                    events += build_event_rows(entry, key.decode())
                except (struct.error, ValueError):  # the archiver reports it
                    continue
            if len(events) >= 100 * ENTRIES_PER_READ:  # a frame is a tenth of the rows' memory
                parts.append(build_events(events))
                events.clear()
    return LogRows(pl.concat([*parts, build_events(events)]), build_controls(controls))


def _read_archive(storage: ArchiveStorage) -> tuple[LogRows, int] | None:
    """Read all files; None if a compaction replaced some of them meanwhile."""
    files = storage.list_files()
    try:
        rows = read_files(storage, files)
    except FileNotFoundError:
        return None
    now = set(storage.list_files())
    added = now - set(files)
    if not now.issuperset(files) or any(file.is_compacted for file in added):
        return None
    return rows, len(files)


def read_files(storage: ArchiveStorage, files: list[ArchiveFile]) -> LogRows:
    """Read files of events and of controls, in their order."""
    events = [add_position(storage.read(file)) for file in files if file.is_events]
    controls = [storage.read(file) for file in files if not file.is_events]
    return LogRows(pl.concat([NO_EVENTS, *events]), pl.concat([NO_CONTROLS, *controls]))


def _combine(older_events: pl.DataFrame, archived: LogRows, live: LogRows, files: int) -> EventLog:
    events = pl.concat([older_events, archived.events, live.events])
    existing = apply_controls(events, pl.concat([archived.controls, live.controls]))
    distinct = drop_repetitions(existing)
    return EventLog(distinct, files, existing.height - distinct.height)
