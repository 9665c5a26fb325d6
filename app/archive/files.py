"""Names of the files of an archive, and the storage that holds them.

    day=2026-11-28/<first log id>-<last log id>-<stream>.<writer>.parquet     events appended on this UTC day
    controls/<first log id>-<last log id>-<stream>.<writer>.parquet           erasures and merges

Log ids have a fixed width, so names sort by time. Files are never changed: the writer's random number makes every name
unique. Compaction writes new files and then removes those that they replace.
"""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import NamedTuple, Protocol
from uuid import uuid4

import polars as pl

from app.stores.log_entries import LogId

CONTROLS_FOLDER = "controls"
DAY_PREFIX = "day="
MANY_STREAMS = "many"
ARCHIVER, COMPACTION = "a", "c"
_NAME = re.compile(r"(day=\d{4}-\d\d-\d\d|controls)/(\d+)\.(\d+)-(\d+)\.(\d+)-([\w.]+?)\.([ac][0-9a-f]{8})\.parquet")


@dataclass(frozen=True, slots=True, order=True)
class ArchiveFile:
    """A file of the archive; `folder` is that of a day, or of the controls."""

    folder: str
    first: LogId
    last: LogId
    stream: str
    writer: str
    """A letter and a random number: `a` for the archiver, `c` for a compaction."""

    @property
    def name(self) -> str:
        return f"{self.folder}/{_format_id(self.first)}-{_format_id(self.last)}-{self.stream}.{self.writer}.parquet"

    @property
    def is_compacted(self) -> bool:
        return self.writer.startswith(COMPACTION)

    @property
    def is_events(self) -> bool:
        return self.folder != CONTROLS_FOLDER


def parse_name(name: str) -> ArchiveFile | None:
    """Parse the name of a file below the archive; None for a file that is not part of it."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    folder, first_ms, first_seq, last_ms, last_seq, stream, writer = match.groups()
    first, last = LogId(int(first_ms), int(first_seq)), LogId(int(last_ms), int(last_seq))
    return ArchiveFile(folder, first, last, stream, writer)


def name_file(folder: str, log_range: tuple[LogId, LogId], stream: str, kind: str) -> ArchiveFile:
    """Name a new file; `kind` is ARCHIVER or COMPACTION."""
    return ArchiveFile(folder, *log_range, stream, f"{kind}{uuid4().hex[:8]}")


def _format_id(log_id: LogId) -> str:
    return f"{log_id.ms:014d}.{log_id.seq:07d}"


class PreparedFile(NamedTuple):
    """A file that no reader sees yet."""

    publish: Callable[[], None]
    """Make it visible and durable."""
    discard: Callable[[], None]


class ArchiveStorage(Protocol):
    """Where the files of an archive are. Methods block; OSError if the storage fails."""

    def list_files(self) -> list[ArchiveFile]:
        """List the files, sorted by folder and log ids."""

    def read(self, file: ArchiveFile, columns: Collection[str] | None = None) -> pl.DataFrame:
        """Read a file; FileNotFoundError if a compaction has removed it."""

    def prepare(self, file: ArchiveFile, rows: pl.DataFrame) -> PreparedFile:
        """Write rows so that no reader sees them yet."""

    def remove(self, files: Collection[ArchiveFile]) -> None:
        """Remove files, as far as they still exist."""

    def remove_leftovers(self) -> None:
        """Remove what a process that was killed left unfinished, once no process can still be writing it."""
