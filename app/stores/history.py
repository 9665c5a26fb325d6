"""The histories of users in Redis: read (as a model or an API response needs them), append, erase, list.

An item is its external id or the 64-bit key of that id; the store does not depend on the catalogue.
"""

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from itertools import islice

from app.batching.batcher import BatchObserver
from app.errors import DamagedHistory
from app.settings import Settings
from app.stores.entries import encode_entry
from app.stores.history_reads import HistoryReads
from app.stores.keys import EVENTS_PATTERN, HistoryLimits, build_user_keys, parse_user_id
from app.stores.records import RECORD, NewEvent, decode_records, get_retained_records
from app.stores.redis.client import ConcurrencyLimiter, RedisClient, Script, StoreObserver, is_data_error, make_pipeline
from app.stores.redis.pipelines import Command, ReplicaAcks
from app.stores.redis.usage import collect_usage, ping_primaries
from app.stores.results import (
    AppendResult,
    EventHistory,
    HistorySnapshot,
    StoredHistory,
    StoreUsage,
    decode_append_results,
    decode_history,
    report_damage,
)

MAX_EVENTS_PER_CALL = 2_000
"""Events of one script call. Redis runs nothing else during a call, so this bounds the delay to some milliseconds."""
MAX_CALLS_PER_PIPELINE = 128


class HistoryStore:
    def __init__(
        self,
        client: RedisClient,
        *,
        max_events: int = 1000,
        lifetime_days: int = 400,
        event_id_lifetime_days: int = 7,
        max_in_flight: int = 32,
        wait_s: float = 0.5,
        queue_limit: int = 10_000,
        wait_replicas: int = 0,
        wait_replicas_s: float = 0.25,
        observer: StoreObserver | None = None,
        read_observer: BatchObserver | None = None,
    ) -> None:
        """With `wait_replicas`, a write raises StoreUnavailable if fewer replicas have it after `wait_replicas_s`."""
        self.client = client
        self._pipeline = make_pipeline(client)
        self._acks = ReplicaAcks(wait_replicas, max(1, round(1000 * wait_replicas_s))) if wait_replicas else None
        self._limiter = ConcurrencyLimiter(max_in_flight=max_in_flight, wait_s=wait_s, observer=observer)
        self._append = Script("history.lua")
        self._erase = Script("erase.lua")
        self._limits = HistoryLimits.from_days(max_events, lifetime_days, event_id_lifetime_days)
        self._waits = int(self._acks is not None)
        self._reads = HistoryReads(self._pipeline, self._limiter, queue_limit=queue_limit, observer=read_observer)

    @classmethod
    def from_settings(
        cls, client: RedisClient, settings: Settings, *, wait_s: float, observer: StoreObserver | None = None
    ) -> "HistoryStore":
        """Build a store with the limits of `settings`; an operation waits at most `wait_s` for a free connection."""
        return cls(
            client,
            max_events=settings.history_max_events,
            lifetime_days=settings.history_lifetime_days,
            event_id_lifetime_days=settings.event_id_lifetime_days,
            max_in_flight=settings.redis_pool,
            wait_s=wait_s,
            wait_replicas=settings.redis_wait_replicas,
            wait_replicas_s=wait_s / 2,  # WAIT must return before the socket times out
            observer=observer,
        )

    async def close(self, timeout_s: float = 1.0) -> None:
        """Finish queued reads; the client stays open, it belongs to the caller."""
        await self._reads.close(timeout_s)

    async def read_recent(self, user_id: str, deadline: float | None = None) -> StoredHistory:
        """Read a user's history for the model; concurrent callers share one MGET."""
        return await self._reads.read(user_id, deadline)

    async def read_history(self, user_id: str) -> EventHistory:
        snapshot = await self.read_snapshot(user_id)
        with report_damage():
            events = list(decode_records(get_retained_records(snapshot.events)))
        return EventHistory(decode_history(snapshot.items).version, events)

    async def read_snapshot(self, user_id: str) -> HistorySnapshot:
        """Read the two values of a user as raw bytes, in one atomic step."""
        keys = build_user_keys(user_id)
        async with self._limiter.slot("read"):
            (reply,) = await self._pipeline.send([Command(keys.items, ("MGET", keys.items, keys.events))])
            if isinstance(reply, Exception):
                raise reply
        return HistorySnapshot(*reply)

    async def append(self, events: Sequence[NewEvent]) -> list[AppendResult]:
        """Append events of any users and return one result per event, in their order.

        Each user's events are applied in event-time order (ties keep their order), in one atomic step per
        MAX_EVENTS_PER_CALL. Appending is idempotent: after StoreUnavailable, repeat the same call. DamagedHistory if
        the history of a user cannot be changed; the events of all others are stored.
        """
        results = await self.append_each(events)
        for result in results:
            if isinstance(result, DamagedHistory):
                raise result
        return [result for result in results if isinstance(result, AppendResult)]

    async def append_each(self, events: Sequence[NewEvent]) -> list[AppendResult | DamagedHistory]:
        """Append like `append`; a user whose history is damaged does not affect the events of others."""
        results: dict[int, AppendResult | DamagedHistory] = {}
        for calls in _group_into_pipelines(_group_by_user(events)):
            raw_calls = [
                (
                    user_id,
                    b"".join(encode_entry(events[i].item_id, events[i].timestamp_ms) for i in indices),
                    b"".join(events[i].record for i in indices),
                )
                for user_id, indices in calls
            ]
            for (_, indices), reply in zip(calls, await self._append_records(raw_calls), strict=True):
                call_results = [reply] * len(indices) if isinstance(reply, DamagedHistory) else reply
                results.update(zip(indices, call_results, strict=True))
        return [results[index] for index in range(len(events))]

    async def append_records(self, calls: Iterable[tuple[str, bytes, bytes]]) -> list[list[AppendResult]]:
        """Run one script call per (user, entries, records in event-time order), all in one pipeline."""
        results = []
        for reply in await self._append_records(calls):
            if isinstance(reply, DamagedHistory):
                raise reply
            results.append(reply)
        return results

    async def _append_records(
        self, calls: Iterable[tuple[str, bytes, bytes]]
    ) -> list[list[AppendResult] | DamagedHistory]:
        script_calls = [
            (build_user_keys(user_id), (*self._limits, entries, records, self._waits))
            for user_id, entries, records in calls
        ]
        results: list[list[AppendResult] | DamagedHistory] = []
        async with self._limiter.slot("append") as operation:
            for reply in await self._append.run_each(self._pipeline, script_calls, self._acks):
                if not isinstance(reply, Exception):
                    results.append(decode_append_results(*reply))
                elif is_data_error(reply):
                    results.append(DamagedHistory.with_reason("Redis rejects the events"))
                    operation.partially_failed = True
                else:
                    raise reply
        return results

    async def append_snapshot(self, user_id: str, snapshot: HistorySnapshot) -> list[AppendResult]:
        """Append the retained events of a snapshot, under the identities that they already have."""
        results = []
        for entries, records in snapshot.split(MAX_EVENTS_PER_CALL):
            (call_results,) = await self.append_records([(user_id, entries, records)])
            results += call_results
        return results

    async def erase(self, user_id: str) -> int:
        """Remove every key of a user and return how many existed."""
        async with self._limiter.slot("erase"):
            return await self._run_erase(user_id, "")

    async def erase_unchanged(self, user_id: str, snapshot: HistorySnapshot) -> int | None:
        """Remove every key and return how many existed; None if the events changed since `snapshot` was read."""
        async with self._limiter.slot("merge"):
            removed = await self._run_erase(user_id, snapshot.events_sha1)
        return None if removed < 0 else removed

    async def _run_erase(self, user_id: str, events_sha1: str) -> int:
        calls = [(build_user_keys(user_id), (events_sha1, self._waits))]
        (removed,) = await self._erase.run(self._pipeline, calls, self._acks)
        return int(removed)

    async def iter_users(self) -> AsyncIterator[str]:
        """Yield every user with events once, in no order; users stored or erased during the scan may be missed."""
        keys = aiter(self.client.scan_iter(match=EVENTS_PATTERN, count=1000))
        yielded_keys: set[bytes] = set()  # SCAN may return a key twice while Redis rehashes
        while True:
            async with self._limiter.slot("scan"):
                key = await anext(keys, None)
            if key is None:
                return
            if key not in yielded_keys:
                yielded_keys.add(key)
                yield parse_user_id(key)

    async def memory_bytes(self) -> int:
        """Read the memory that Redis uses, summed over all primaries."""
        return (await self.read_usage()).memory_bytes

    async def read_usage(self) -> StoreUsage:
        """Sum memory and keys over the primaries that answer; StoreUnavailable if none does."""
        async with self._limiter.slot("info"):
            return await collect_usage(self._pipeline)

    async def ping(self) -> None:
        """Raise StoreUnavailable if no primary answers; with one primary down, a cluster still serves most users."""
        async with self._limiter.slot("ping"):
            await ping_primaries(self._pipeline)


def _group_by_user(events: Sequence[NewEvent]) -> Iterator[tuple[str, list[int]]]:
    """Yield (user, indices of at most MAX_EVENTS_PER_CALL events in event-time order)."""
    by_user: dict[str, list[int]] = {}
    for index, event in enumerate(events):
        by_user.setdefault(event.user_id, []).append(index)
    for user_id, indices in by_user.items():
        indices.sort(key=lambda index: events[index].timestamp_ms)  # stable: equal times keep their order
        for first in range(0, len(indices), MAX_EVENTS_PER_CALL):
            yield user_id, indices[first : first + MAX_EVENTS_PER_CALL]


def _group_into_pipelines(calls: Iterable[tuple[str, list[int]]]) -> Iterator[list[tuple[str, list[int]]]]:
    """Group calls into pipelines small enough that the last reply arrives within the socket timeout."""
    remaining = iter(calls)
    while group := list(islice(remaining, MAX_CALLS_PER_PIPELINE)):
        pipeline: list[tuple[str, list[int]]] = []
        count = 0
        for call in group:
            if pipeline and count + len(call[1]) > MAX_EVENTS_PER_CALL:
                yield pipeline
                pipeline, count = [], 0
            pipeline.append(call)
            count += len(call[1])
        yield pipeline


assert RECORD.size == 19, "history.lua hard-codes the size of a record's fixed part"
