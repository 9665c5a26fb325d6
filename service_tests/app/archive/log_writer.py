"""Writes entries of the event log as the scripts of the store do, and runs rounds of the archiver."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from redis.asyncio import Redis

from app.archive.archiver import Archiver, ArchiveRound
from app.archive.compaction import Compaction, CompactionResult
from app.archive.files import ArchiveStorage
from app.archive.reader import read_event_log
from app.stores.keys import LOG_KEY
from app.stores.log_streams import LogStreams
from app.stores.records import NewEvent, compute_identity
from app.stores.redis.connect import close_redis, open_redis

STREAM = LOG_KEY
Row = tuple[str, str, int, str | None, str | None, str | None]


@dataclass(frozen=True)
class LogWriter:
    """The log of one server, and its archive."""

    client: Redis
    streams: LogStreams
    storage: ArchiveStorage

    async def append(self, user: str, *events: NewEvent) -> None:
        records = b"".join(event.record for event in events)
        await self.client.xadd(STREAM, {"u": user, "r": records})

    async def erase(self, user: str) -> None:
        await self.client.xadd(STREAM, {"u": user, "c": "erase"})

    async def receive(self, target: str, source: str, token: str) -> None:
        await self.client.xadd(STREAM, {"u": target, "c": "receive", "w": source, "t": token})

    async def give(self, source: str, target: str, token: str) -> None:
        await self.client.xadd(STREAM, {"u": source, "c": "merge", "w": target, "t": token})

    async def archive(self, on_step: Callable[[str], None] = lambda _: None, max_events: int = 50_000) -> ArchiveRound:
        archiver = Archiver(self.streams, self.storage, on_step=on_step, max_batch_events=max_events)
        async with archiver.hold_lease() as lease:
            return await archiver.archive(lease)

    async def compact(
        self, on_step: Callable[[str], None] = lambda _: None, max_file_events: int = 1_000_000
    ) -> CompactionResult:
        """Archive everything, as `nextup archive --compact` does, and compact."""
        archiver = Archiver(self.streams, self.storage)
        async with archiver.hold_lease() as lease:
            await archiver.archive(lease)
            return await Compaction(self.storage, on_step=on_step, max_file_events=max_file_events).compact(lease)

    async def read_rows(self) -> list[Row]:
        """The events that a reader sees, sorted."""
        events = (await read_event_log(self.streams, self.storage)).events
        columns = ("user_id", "item_id", "timestamp", "type", "recommendation_id", "event_identity")
        return sorted(events.select(columns).rows(), key=repr)


@asynccontextmanager
async def open_log(url: str, storage: ArchiveStorage) -> AsyncIterator[LogWriter]:
    client = await open_redis(url, timeout_s=5.0)
    assert isinstance(client, Redis)
    try:
        yield LogWriter(client, LogStreams(client), storage)
    finally:
        await close_redis(client)


def list_paths(storage: ArchiveStorage) -> list[Path]:
    """Every file below the archive, unfinished ones too, in order."""
    return sorted(path for path in Path(str(storage)).rglob("*") if path.is_file())


def make_row(user: str, event: NewEvent) -> Row:
    """The row of the archive that an event must become."""
    has_id = event.event_id is not None or event.identity is not None
    identity = compute_identity(event).hex() if has_id else None
    return (user, event.item_id, event.timestamp_ms, event.type, event.recommendation_id, identity)
