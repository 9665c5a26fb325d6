"""The histories of users in Redis: read (as a model or an API response needs them), append, erase, list.

An item is its external id or the 64-bit key of that id; the store does not depend on the catalogue. This file is
longer than 250 lines because it is the one list of the operations on histories.
"""

from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from contextlib import suppress

from app.batching.observer import BatchObserver
from app.errors import DamagedHistory, StoreUnavailable
from app.settings import Settings
from app.stores.appends import AppendCall, AppendScript, group_by_user, group_into_pipelines
from app.stores.entries import compute_times_ms, is_old_format
from app.stores.event_log import EventLogLimits
from app.stores.history_reads import HistoryReads
from app.stores.item_names import ItemNames, NamedItems
from app.stores.keys import ITEMS_PATTERN, HistoryLimits, build_user_keys, parse_user_id
from app.stores.merge_steps import MergeSteps
from app.stores.merges import Merges, StepObserver
from app.stores.records import HistoryEvent, NewEvent, decode_records, get_retained_records
from app.stores.redis.client import ConcurrencyLimiter, RedisClient, StoreObserver, make_pipeline
from app.stores.redis.pipelines import Command, PipelineLimits, make_acks
from app.stores.redis.usage import collect_usage, ping_primaries
from app.stores.results import (
    AppendResult,
    EventHistory,
    HistoryEntry,
    StoredHistory,
    StoreUsage,
    decode_history,
    report_damage,
)
from app.stores.snapshot import HistorySnapshot
from models.catalogue.item_key import item_key


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
        wait_fsync: bool = False,
        event_log: EventLogLimits | None = None,
        stores_names: bool = True,
        limits: PipelineLimits | None = None,
        observer: StoreObserver | None = None,
        read_observer: BatchObserver | None = None,
    ) -> None:
        """With `wait_replicas`, a write raises StoreUnavailable if fewer replicas have it after `wait_replicas_s`.

        With `wait_fsync`, also if it is not on disk by then. Without `stores_names`, ids of items are not stored.
        """
        self.client = client
        self._pipeline = make_pipeline(client, limits)
        self._acks = make_acks(wait_replicas, wait_replicas_s, fsync=wait_fsync)
        self._limiter = ConcurrencyLimiter(max_in_flight=max_in_flight, wait_s=wait_s, observer=observer)
        self._log = event_log or EventLogLimits()
        history_limits = HistoryLimits.from_days(max_events, lifetime_days, event_id_lifetime_days)
        self._appends = AppendScript(client, self._pipeline, self._limiter, history_limits, self._log, self._acks)
        self._merge_steps = MergeSteps(client, self._pipeline, self._limiter, self._log, self._acks)
        self.merges = self.make_merges()
        self._names = ItemNames(self._pipeline, self._limiter)
        self._stores_names = stores_names
        self._reads = HistoryReads(self._pipeline, self._limiter, queue_limit=queue_limit, observer=read_observer)

    @classmethod
    def from_settings(
        cls,
        client: RedisClient,
        settings: Settings,
        *,
        wait_s: float,
        wait_fsync: bool = False,
        stores_names: bool = True,
        limits: PipelineLimits | None = None,
        observer: StoreObserver | None = None,
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
            wait_fsync=wait_fsync,
            event_log=EventLogLimits.from_settings(settings),
            stores_names=stores_names,
            limits=limits,
            observer=observer,
        )

    async def close(self, timeout_s: float = 1.0) -> None:
        """Finish queued reads; the client stays open, it belongs to the caller."""
        await self._reads.close(timeout_s)
        await self._pipeline.close()

    def use_catalogue(self, get_catalogue: Callable[[], NamedItems]) -> None:
        """Name items by the serving catalogue, and store the ids of other items only."""
        self._names.get_catalogue = get_catalogue

    async def read_recent(self, user_id: str, deadline: float | None = None) -> StoredHistory:
        """Read a user's history for the model; concurrent callers share one MGET."""
        return await self._reads.read(user_id, deadline)

    async def read_history(self, user_id: str) -> EventHistory:
        """Read a user's events with the ids of their items, as far as these are known."""
        (value,) = await self._read_values(user_id, "items")
        history = decode_history(value)
        if history.items.is_old:
            events = await self.read_old_events(user_id)
            return EventHistory(history.version, [HistoryEntry(event.item_id, event.timestamp_ms) for event in events])
        keys = history.item_keys.tolist()
        names = await self._names.find(keys)
        with report_damage():
            times = compute_times_ms(history.items).tolist()
        entries = [HistoryEntry(names.get(key), time) for key, time in zip(keys, times, strict=True)]
        return EventHistory(history.version, entries)

    @property
    def logs_events(self) -> bool:
        """Whether the event log is on."""
        return self._log.policy != "off"

    @property
    def dropped_log_entries(self) -> int:
        """Entries of the event log that were dropped because it was full, by appends of this store."""
        return self._appends.dropped_log_entries

    async def find_item_ids(self, user_id: str, item_keys: Collection[int]) -> dict[int, str]:
        """Find ids of items in the history of a user by their keys; an id that is no longer kept is left out."""
        item_ids = await self._names.find(item_keys)
        if len(item_ids) < len(set(item_keys)):
            old_ids = {event.item_id for event in await self.read_old_events(user_id)}
            keys = {int.from_bytes(item_key(item_id), "little"): item_id for item_id in old_ids}
            item_ids |= {key: keys[key] for key in item_keys if key in keys}
        return item_ids

    async def read_old_events(self, user_id: str) -> list[HistoryEvent]:
        """Read the whole events of a user in the format before; none for all others."""
        (value,) = await self._read_values(user_id, "events")
        with report_damage():
            return list(decode_records(get_retained_records(value)))

    async def read_snapshot(self, user_id: str) -> HistorySnapshot:
        """Read the values of a user as raw bytes, in one atomic step; the old format is converted first."""
        snapshot = HistorySnapshot(*await self._read_values(user_id, "items", "seen"))
        if not is_old_format(snapshot.items):
            return snapshot
        await self.append_calls([AppendCall(user_id, b"", b"")])
        return HistorySnapshot(*await self._read_values(user_id, "items", "seen"))

    async def _read_values(self, user_id: str, *names: str) -> list[bytes | None]:
        keys = [getattr(build_user_keys(user_id), name) for name in names]
        async with self._limiter.slot("read"):
            (reply,) = await self._pipeline.send([Command(keys[0], ("MGET", *keys))])
            if isinstance(reply, Exception):
                raise reply
        return list(reply)

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
        for calls in group_into_pipelines(group_by_user(events)):
            raw_calls = [
                AppendCall(
                    user_id,
                    b"".join(item_key(events[i].item_id) for i in indices),
                    b"".join(events[i].record for i in indices),
                )
                for user_id, indices in calls
            ]
            for (_, indices), reply in zip(calls, await self._appends.run(raw_calls), strict=True):
                call_results = [reply] * len(indices) if isinstance(reply, DamagedHistory) else reply
                results.update(zip(indices, call_results, strict=True))
        await self._store_names({event.item_id for event in events})
        return [results[index] for index in range(len(events))]

    async def append_calls(self, calls: Iterable[AppendCall]) -> list[list[AppendResult]]:
        """Run the script calls in one pipeline; DamagedHistory if a history cannot be changed."""
        results = []
        for reply in await self._appends.run(calls):
            if isinstance(reply, DamagedHistory):
                raise reply
            results.append(reply)
        await self._store_names(set())
        return results

    def make_merges(self, on_step: StepObserver | None = None) -> Merges:
        """Make merges that await `on_step` in front of each of their steps."""
        return Merges(self._merge_steps, self._append_call, on_step=on_step)

    async def _append_call(self, call: AppendCall) -> list[AppendResult]:
        return (await self.append_calls([call]))[0]

    async def erase(self, user_id: str) -> int:
        """Remove every key of a user and return how many existed; merges from and into it are cancelled."""
        return await self.merges.erase(user_id)

    async def _store_names(self, item_ids: set[str]) -> None:
        """Store ids of items for `read_history`; a failure is not reported, as the events are stored."""
        item_ids |= self._appends.take_old_item_ids()
        if self._stores_names:
            with suppress(StoreUnavailable):
                await self._names.store(item_ids)

    async def iter_users(self) -> AsyncIterator[str]:
        """Yield every user with events once, in no order; users stored or erased during the scan may be missed."""
        keys = aiter(self.client.scan_iter(match=ITEMS_PATTERN, count=1000))
        yielded_keys: set[bytes] = set()  # SCAN may return a key twice while Redis rehashes
        while True:
            async with self._limiter.slot("scan"):
                key = await anext(keys, None)
            if key is None:
                return
            if key not in yielded_keys:
                yielded_keys.add(key)
                yield parse_user_id(key)

    async def read_usage(self) -> StoreUsage:
        """Sum memory and keys over the primaries that answer; StoreUnavailable if none does."""
        async with self._limiter.slot("info"):
            return await collect_usage(self._pipeline)

    async def ping(self) -> None:
        """Raise StoreUnavailable if no primary answers; with one primary down, a cluster still serves most users."""
        async with self._limiter.slot("ping"):
            await ping_primaries(self._pipeline)
