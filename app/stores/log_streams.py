"""The streams of the event log: read, measure and remove their entries.

The script that stores events appends to them. One server has one stream; a Cluster has one per hash slot.
"""

import logging
from collections.abc import Sequence
from typing import Any, NamedTuple

from app.stores.event_log import CONTROL, ERASE, MERGE, PLACE, RECORDS, USER
from app.stores.keys import ARCHIVE_LEASE_KEY, build_log_key, list_log_keys
from app.stores.lease import Lease
from app.stores.log_entries import LogEntry, LogId, decode_entry
from app.stores.redis.client import ConcurrencyLimiter, RedisClient, StoreObserver, is_cluster, make_pipeline
from app.stores.redis.pipelines import Command

log = logging.getLogger("nextup")

STREAMS_PER_PIPELINE = 64  # a Cluster has 16,384 streams; requests of the process wait for one pipeline at most
LEASE_MS = 60_000
MAX_IN_FLIGHT = 4
WAIT_S = 30.0
"""Longest wait for one of them."""
MAX_SCANNED_ENTRIES = 20_000
"""Entries that an erasure looks through. Older entries are archived soon, and the erasure covers them there."""
SCAN_ENTRIES = 1_000


class StreamPage(NamedTuple):
    """Consecutive entries of a stream; `last_id` also counts entries that could not be decoded, None at the end."""

    entries: list[LogEntry]
    last_id: LogId | None


class LogUsage(NamedTuple):
    """Size of the event log: of all streams together, of the longest one, and the time of the oldest entry."""

    entries: int
    longest_stream: int
    oldest_ms: int | None


class LogStreams:
    def __init__(self, client: RedisClient, *, observer: StoreObserver | None = None) -> None:
        self._pipeline = make_pipeline(client)
        self._limiter = ConcurrencyLimiter(max_in_flight=MAX_IN_FLIGHT, wait_s=WAIT_S, observer=observer)
        self._is_cluster = is_cluster(client)
        self.keys: Sequence[bytes] = list_log_keys(is_cluster=self._is_cluster)
        """Every stream that may exist."""

    def make_lease(self) -> Lease:
        """Make the lease of the archiver, which is not acquired yet."""
        return Lease(self._pipeline, self._limiter, ARCHIVE_LEASE_KEY, lifetime_ms=LEASE_MS)

    async def read_lengths(self) -> dict[bytes, int]:
        """Read the number of entries of each stream that is not empty."""
        lengths: dict[bytes, int] = {}
        for first in range(0, len(self.keys), STREAMS_PER_PIPELINE):
            keys = self.keys[first : first + STREAMS_PER_PIPELINE]
            for key, length in zip(keys, await self._send([Command(key, ("XLEN", key)) for key in keys]), strict=True):
                if length:
                    lengths[key] = int(length)
        return lengths

    async def read_usage(self) -> LogUsage:
        """Measure the log; an entry's time is that of the server that appended it."""
        lengths = await self.read_lengths()
        keys = list(lengths)
        oldest_ms: int | None = None
        for first in range(0, len(keys), STREAMS_PER_PIPELINE):
            part = keys[first : first + STREAMS_PER_PIPELINE]
            for reply in await self._send([Command(key, ("XRANGE", key, "-", "+", "COUNT", 1)) for key in part]):
                for log_id, _ in reply:
                    ms = LogId.parse(log_id).ms
                    oldest_ms = ms if oldest_ms is None else min(oldest_ms, ms)
        return LogUsage(sum(lengths.values()), max(lengths.values(), default=0), oldest_ms)

    async def read_page(self, key: bytes, after: LogId | None, count: int) -> StreamPage:
        """Read at most `count` entries of a stream behind `after`, oldest first."""
        start = b"-" if after is None else bytes(after.successor)
        (reply,) = await self._send([Command(key, ("XRANGE", key, start, "+", "COUNT", count))])
        entries: list[LogEntry] = []
        for log_id, fields in reply:
            try:
                entries.append(decode_entry(log_id, fields))
            except ValueError as error:
                log.error("the event log %s has an entry %s that cannot be read: %s", key, log_id.decode(), error)
        return StreamPage(entries, LogId.parse(reply[-1][0]) if reply else None)

    async def trim(self, key: bytes, last_id: LogId) -> int:
        """Remove the entries up to and with `last_id`; return their number."""
        (removed,) = await self._send([Command(key, ("XTRIM", key, "MINID", bytes(last_id.successor)))])
        return int(removed)

    async def append_erasure(self, user_id: str) -> None:
        """Log the erasure of a user, where the store does not do so because the event log is off."""
        key = self.find_key(user_id)
        await self._send([Command(key, ("XADD", key, "*", USER, user_id, CONTROL, ERASE))])

    async def remove_events(self, user_id: str) -> int:
        """Remove the newest entries with events of a user that are not archived yet; return their number.

        Looks through at most MAX_SCANNED_ENTRIES. Call it after the erasure is in the log: new events of the user,
        stored meanwhile, are behind it and stay, as do events in front of a merge, which belong to its target.
        """
        key, user, before, removed, scanned = self.find_key(user_id), user_id.encode(), "+", 0, 0
        cuts: list[tuple[LogId, bool]] = []  # place of each control of the user, and whether it is an erasure
        while scanned < MAX_SCANNED_ENTRIES:
            (reply,) = await self._send([Command(key, ("XREVRANGE", key, before, "-", "COUNT", SCAN_ENTRIES))])
            ids: list[bytes] = []
            for log_id, fields in reply:
                if fields.get(USER) != user:
                    continue
                control = fields.get(CONTROL)
                if control in (ERASE, MERGE):
                    cuts.append((LogId.parse(fields.get(PLACE, log_id)), control == ERASE))
                elif RECORDS in fields and _is_erased(LogId.parse(log_id), cuts):
                    ids.append(log_id)
            if ids:
                (count,) = await self._send([Command(key, ("XDEL", key, *ids))])
                removed += int(count)
            scanned += len(reply)
            if len(reply) < SCAN_ENTRIES:
                break
            before = f"({reply[-1][0].decode()}"
        return removed

    def find_key(self, user_id: str) -> bytes:
        """Return the stream of a user."""
        return build_log_key(user_id, is_cluster=self._is_cluster)

    async def _send(self, commands: Sequence[Command]) -> list[Any]:
        async with self._limiter.slot("log"):
            replies = await self._pipeline.send(commands)
            for reply in replies:
                if isinstance(reply, Exception):
                    raise reply
        return replies


def _is_erased(log_id: LogId, cuts: Sequence[tuple[LogId, bool]]) -> bool:
    """Whether the first control behind an entry is an erasure; a control is never in front of its place."""
    behind = [cut for cut in cuts if cut[0] > log_id]
    return bool(behind) and min(behind)[1]
