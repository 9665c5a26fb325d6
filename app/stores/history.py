"""The histories of users in Redis: read for a model, read for people, append, erase, list.

Knows keys, records and scripts of this package. Knows no catalogue, no model and no HTTP: an item is its external id,
or the 64-bit key of it.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from itertools import islice

from app.batching.batcher import BatchObserver
from app.settings import Settings
from app.stores.entries import encode_entry
from app.stores.history_reads import HistoryReads
from app.stores.keys import DAY_MS, EVENTS_PATTERN, build_user_keys, parse_user_id
from app.stores.records import RECORD, NewEvent, decode, encode, get_retained_records
from app.stores.redis.client import ConcurrencyLimiter, RedisClient, Script, StoreObserver, make_pipeline
from app.stores.redis.pipelines import Command, ReplicaAcks
from app.stores.redis.usage import collect_usage, ping
from app.stores.results import (
    AppendResult,
    EventHistory,
    StoredHistory,
    StoreUsage,
    decode_append_results,
    decode_history,
)

MAX_EVENTS_PER_CALL = 2_000  # events in one script call: bounds how long others wait for Redis (some milliseconds)
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
        """With `wait_replicas`, a write that fewer replicas have after `wait_replicas_s` is a StoreUnavailable."""
        self.client = client
        self.redis = make_pipeline(client)
        self.replicas = ReplicaAcks(wait_replicas, max(1, round(1000 * wait_replicas_s))) if wait_replicas else None
        self.limiter = ConcurrencyLimiter(max_in_flight=max_in_flight, wait_s=wait_s, observer=observer)
        self._append = Script("history.lua")
        self._erase = Script("erase.lua")
        self._limits = (max_events, lifetime_days * DAY_MS, event_id_lifetime_days * DAY_MS)
        self._waits = int(self.replicas is not None)
        self._reads = HistoryReads(self.redis, self.limiter, queue_limit=queue_limit, observer=read_observer)

    @classmethod
    def from_settings(
        cls, client: RedisClient, settings: Settings, *, wait_s: float, observer: StoreObserver | None = None
    ) -> "HistoryStore":
        """A store as it is set; `wait_s` is how long an operation waits for its turn, and at most for an answer."""
        return cls(
            client,
            max_events=settings.history_max_events,
            lifetime_days=settings.history_lifetime_days,
            event_id_lifetime_days=settings.event_id_lifetime_days,
            max_in_flight=settings.redis_pool,
            wait_s=wait_s,
            wait_replicas=settings.redis_wait_replicas,
            wait_replicas_s=wait_s / 2,  # the answer must come before the socket gives up
            observer=observer,
        )

    async def close(self, timeout_s: float = 1.0) -> None:
        """Finish the reads that wait; the client stays open, it belongs to who opened it."""
        await self._reads.close(timeout_s)

    async def read_recent(self, user_id: str, deadline: float | None = None) -> StoredHistory:
        """The newest events of a user; concurrent callers share one MGET."""
        return await self._reads.read(user_id, deadline)

    async def append(self, events: Sequence[NewEvent]) -> list[AppendResult]:
        """Append events of any users and say for each what became of it, in the order given.

        Each user's events are applied in event-time order (equal times: as given), in one atomic step per
        `MAX_EVENTS_PER_CALL`. After a StoreUnavailable the same call may simply be sent again: identities take effect once.
        """
        by_user: dict[str, list[int]] = {}
        for index, event in enumerate(events):
            by_user.setdefault(event.user_id, []).append(index)
        encoded = [encode(event) for event in events]
        entries = [encode_entry(event.item_id, event.timestamp_ms) for event in events]
        runs: list[tuple[str, list[int]]] = []
        for user_id, indices in by_user.items():
            indices.sort(key=lambda index: events[index].timestamp_ms)  # stable, so equal times keep their order
            runs += [
                (user_id, indices[at : at + MAX_EVENTS_PER_CALL]) for at in range(0, len(indices), MAX_EVENTS_PER_CALL)
            ]
        outcome: dict[int, AppendResult] = {}
        for calls in _pipelines(runs):
            raw = [
                (user_id, b"".join(entries[i] for i in run), b"".join(encoded[i] for i in run))
                for user_id, run in calls
            ]
            for (_, run), outcomes in zip(calls, await self.append_records(raw), strict=True):
                outcome.update(zip(run, outcomes, strict=True))
        return [outcome[index] for index in range(len(events))]

    async def append_records(self, calls: Iterable[tuple[str, bytes, bytes]]) -> list[list[AppendResult]]:
        """One script call per (user, entries, records in event-time order): how `append` and a merge write."""
        scripted = [
            (build_user_keys(user_id), (*self._limits, entries, records, self._waits))
            for user_id, entries, records in calls
        ]
        async with self.limiter.slot("append"):
            answers = await self._append.run(self.redis, scripted, self.replicas)
        return [decode_append_results(version, codes) for version, codes in answers]

    async def read_history(self, user_id: str) -> EventHistory:
        items, events = await self.read_values(user_id)
        return EventHistory(decode_history(items).version, list(decode(get_retained_records(events))))

    async def read_values(self, user_id: str) -> tuple[bytes | None, bytes | None]:
        """The two values of a user as they lie in the store, of one moment."""
        keys = build_user_keys(user_id)
        async with self.limiter.slot("read"):
            (answer,) = await self.redis.send([Command(keys.items, ("MGET", keys.items, keys.events))])
            if isinstance(answer, Exception):
                raise answer
        items, events = answer
        return items, events

    async def erase(self, user_id: str) -> int:
        """Remove every key of a user; the number of keys that there were."""
        async with self.limiter.slot("erase"):
            return await self.erase_if(user_id, "")

    async def erase_if(self, user_id: str, events_sha1: str) -> int:
        """Remove every key if the `events` value has this hash (in hex; empty: any), else -1. For a gate to let in."""
        (removed,) = await self._erase.run(
            self.redis, [(build_user_keys(user_id), (events_sha1, self._waits))], self.replicas
        )
        return int(removed)

    async def iter_users(self) -> AsyncIterator[str]:
        """Every user with events, in no order, each once; who comes or goes meanwhile may be missed."""
        keys = aiter(self.client.scan_iter(match=EVENTS_PATTERN, count=1000))
        given: set[bytes] = set()  # SCAN may return a key twice while Redis rehashes
        while True:
            async with self.limiter.slot("scan"):
                key = await anext(keys, None)
            if key is None:
                return
            if key not in given:
                given.add(key)
                yield parse_user_id(key)

    async def memory_bytes(self) -> int:
        """Memory that Redis uses, all primaries together."""
        return (await self.usage()).memory_bytes

    async def usage(self) -> StoreUsage:
        """Memory and keys of all primaries together that answer; StoreUnavailable when none does."""
        async with self.limiter.slot("info"):
            return await collect_usage(self.redis)

    async def ping(self) -> None:
        """StoreUnavailable when no primary answers; a cluster with one away still serves most of its users."""
        async with self.limiter.slot("ping"):
            await ping(self.redis)


def _pipelines(runs: list[tuple[str, list[int]]]) -> Iterable[list[tuple[str, list[int]]]]:
    """Cut the calls into round trips small enough that the last answer comes within the socket timeout."""
    left = iter(runs)
    while calls := list(islice(left, MAX_CALLS_PER_PIPELINE)):
        together: list[tuple[str, list[int]]] = []
        count = 0
        for call in calls:
            if together and count + len(call[1]) > MAX_EVENTS_PER_CALL:
                yield together
                together, count = [], 0
            together.append(call)
            count += len(call[1])
        yield together


assert RECORD.size == 19, "history.lua and records.py agree on the fixed part of a record"
