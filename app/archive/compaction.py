"""Compaction: makes erasures and merges physical, and joins small files of a day.

It runs under the archiver's lease, after a round that archived everything. Files that have rows of an erased or merged
user, and neighboring small files, are written again without those rows; then the old files are removed, and last the
controls that have no further effect. A compaction that stops anywhere is finished by the next one.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import polars as pl

from app.archive.archiver import LeaseLost
from app.archive.files import (
    COMPACTION,
    CONTROLS_FOLDER,
    MANY_STREAMS,
    ArchiveFile,
    ArchiveStorage,
    PreparedFile,
    name_file,
)
from app.archive.resolution import apply_controls, drop_copies
from app.archive.rows import NO_CONTROLS, add_position, drop_empty_position, find_log_range, sort_by_log
from app.archive.settling import split_settled
from app.stores.lease import Lease

MAX_FILE_EVENTS = 1_000_000

NewFile = tuple[ArchiveFile, pl.DataFrame]


@dataclass(frozen=True, slots=True)
class CompactionResult:
    """`rows_removed` are rows of events that no longer exist, or that a crash had written twice."""

    rows_removed: int = 0
    files_before: int = 0
    files_after: int = 0


class Compaction:
    def __init__(
        self,
        storage: ArchiveStorage,
        *,
        max_file_events: int = MAX_FILE_EVENTS,
        on_step: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`on_step` is called behind each step: written, published, removed."""
        self._storage = storage
        self._max_file_events = max_file_events
        self._on_step = on_step

    async def compact(self, lease: Lease) -> CompactionResult:
        """Compact the archive; LeaseLost if another archiver took over, OSError if the storage fails."""
        files = await asyncio.to_thread(self._storage.list_files)
        control_files = [file for file in files if not file.is_events]
        controls = await asyncio.to_thread(self._read_controls, control_files)
        settled, unsettled = split_settled(controls, time.time_ns() // 1_000_000)
        users = settled.filter(pl.col("control") != "receive")["user_id"].unique().to_list()
        rows_removed = 0
        groups = self._iter_groups([file for file in files if file.is_events], users)
        while (group := await asyncio.to_thread(next, groups, None)) is not None:
            removed, new_files = await asyncio.to_thread(self._rewrite, group, settled)
            await self._replace(group, new_files, lease)
            rows_removed += removed
        if len(control_files) > 1 or not settled.is_empty():
            await self._replace(control_files, _name_controls(unsettled), lease)
        num_after = len(await asyncio.to_thread(self._storage.list_files))
        return CompactionResult(rows_removed, len(files), num_after)

    def _read_controls(self, files: list[ArchiveFile]) -> pl.DataFrame:
        return pl.concat([NO_CONTROLS, *(self._storage.read(file) for file in files)]).unique(maintain_order=True)

    def _iter_groups(self, files: list[ArchiveFile], users: list[str]) -> Iterator[list[ArchiveFile]]:
        """Yield neighboring files of a day that are written again together, of limited size."""
        group: list[ArchiveFile] = []
        num_events, has_users = 0, False
        for file in files:
            ids = self._storage.read(file, ["user_id"])["user_id"]
            if group and (file.folder != group[0].folder or num_events + ids.len() > self._max_file_events):
                if len(group) > 1 or has_users:
                    yield group
                group, num_events, has_users = [], 0, False
            group.append(file)
            num_events += ids.len()
            has_users = has_users or bool(ids.is_in(users).any())
        if len(group) > 1 or has_users:
            yield group

    def _rewrite(self, files: list[ArchiveFile], controls: pl.DataFrame) -> tuple[int, list[NewFile]]:
        """Return the number of rows that are not needed, and the file of all others."""
        rows = sort_by_log(pl.concat([add_position(self._storage.read(file)) for file in files]))
        remaining = drop_copies(apply_controls(rows, controls))
        if remaining.is_empty():
            return rows.height, []
        label = files[0].stream if len({file.stream for file in files}) == 1 else MANY_STREAMS
        log_range = min(file.first for file in files), max(file.last for file in files)
        new_file = name_file(files[0].folder, log_range, label, COMPACTION)
        return rows.height - remaining.height, [(new_file, drop_empty_position(remaining))]

    async def _replace(self, files: list[ArchiveFile], new_files: list[NewFile], lease: Lease) -> None:
        """Publish new files, then remove those that they replace."""
        prepared: list[PreparedFile] = []
        for file, rows in new_files:
            prepared.append(await asyncio.to_thread(self._storage.prepare, file, rows))
        self._on_step("written")
        if not await lease.renew():
            for prepared_file in prepared:
                prepared_file.discard()
            raise LeaseLost
        for prepared_file in prepared:
            await asyncio.to_thread(prepared_file.publish)
        self._on_step("published")
        if not await lease.renew():
            await asyncio.to_thread(self._storage.remove, [file for file, _ in new_files])
            raise LeaseLost
        await asyncio.to_thread(self._storage.remove, files)
        self._on_step("removed")


def _name_controls(controls: pl.DataFrame) -> list[NewFile]:
    if controls.is_empty():
        return []
    ordered = sort_by_log(controls)
    return [(name_file(CONTROLS_FOLDER, find_log_range(ordered), MANY_STREAMS, COMPACTION), ordered)]
