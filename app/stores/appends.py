"""Calls of history.lua: many users in one pipeline, with a second call for users who are still in the old format."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

from app.errors import DamagedHistory
from app.stores.event_log import EventLogLimits, MergeTransfer
from app.stores.keys import HistoryLimits, build_log_key, build_user_keys
from app.stores.records import RECORD, NewEvent, decode_records
from app.stores.redis.client import ConcurrencyLimiter, RedisClient, Script, is_cluster, is_data_error
from app.stores.redis.pipelines import CommandPipeline, WriteAcks
from app.stores.results import AppendResult, decode_append_results

MAX_EVENTS_PER_CALL = 2_000
"""Events of one script call. Redis runs nothing else during a call, so this bounds the delay to some milliseconds."""
MAX_CALLS_PER_PIPELINE = 128
_NEEDS_EVENTS = [-1]
"""Reply for a user in the old format: the call has to be repeated with the key of the old events."""
_CANCELLED, _APPLIED = [-2], [-3]
"""Replies for a merge."""


class MergeCancelled(Exception):
    """The target of a merge does not accept its events any more; `is_applied` if it has them already."""

    def __init__(self, *, is_applied: bool) -> None:
        super().__init__("already applied" if is_applied else "cancelled by an erasure")
        self.is_applied = is_applied


class AppendCall(NamedTuple):
    """One script call: events of one user, in event-time order. Without events it converts the old format."""

    user_id: str
    item_keys: bytes
    """8 bytes per event."""
    records: bytes
    transfer: MergeTransfer | None = None
    """Set for all events of a merge, which are in the event log already."""


class AppendScript:
    def __init__(
        self,
        client: RedisClient,
        pipeline: CommandPipeline,
        limiter: ConcurrencyLimiter,
        limits: HistoryLimits,
        log: EventLogLimits,
        acks: WriteAcks | None,
    ) -> None:
        self._is_cluster = is_cluster(client)
        self._pipeline, self._limiter, self._limits, self._log, self._acks = pipeline, limiter, limits, log, acks
        self._script = Script("newest_event.lua", "history_values.lua", "old_history.lua", "history.lua")
        self.dropped_log_entries = 0
        """Entries of the event log that were dropped because it was full, by calls of this process."""
        self._old_item_ids: set[str] = set()

    async def run(self, calls: Iterable[AppendCall]) -> list[list[AppendResult] | DamagedHistory]:
        """Run the calls in one pipeline and return the results of each, in the order of its events.

        MergeCancelled if a call has a transfer that the target does not accept; such a call is the only one.
        """
        all_calls = list(calls)
        async with self._limiter.slot("append") as operation:
            replies = await self._run_script(all_calls, with_events=False)
            old = [index for index, reply in enumerate(replies) if reply == _NEEDS_EVENTS]
            if old:
                retried = await self._run_script([all_calls[index] for index in old], with_events=True)
                for index, reply in zip(old, retried, strict=True):
                    replies[index] = reply
            results: list[list[AppendResult] | DamagedHistory] = []
            cancelled: MergeCancelled | None = None
            for reply in replies:
                if reply in (_CANCELLED, _APPLIED):
                    cancelled = MergeCancelled(is_applied=reply == _APPLIED)
                elif not isinstance(reply, Exception):
                    results.append(self._read_reply(*reply))
                elif is_data_error(reply):
                    results.append(DamagedHistory.with_reason("Redis rejects the events"))
                    operation.partially_failed = True
                else:
                    raise reply
        if cancelled is not None:
            raise cancelled
        return results

    def take_old_item_ids(self) -> set[str]:
        """Return the ids of items in histories that were converted since the last call."""
        item_ids, self._old_item_ids = self._old_item_ids, set()
        return item_ids

    def _read_reply(
        self, version: int, codes: bytes, dropped: int, old_records: bytes | None = None
    ) -> list[AppendResult]:
        self.dropped_log_entries += dropped
        if old_records:
            self._old_item_ids.update(event.item_id for event in decode_records(old_records))
        return decode_append_results(version, codes)

    async def _run_script(self, calls: Sequence[AppendCall], *, with_events: bool) -> list[Any]:
        script_calls = [self._build_call(call, with_events=with_events) for call in calls]
        return await self._script.run_each(self._pipeline, script_calls, self._acks)

    def _build_call(self, call: AppendCall, *, with_events: bool) -> tuple[Sequence[bytes], Sequence[Any]]:
        keys = build_user_keys(call.user_id)
        key_arguments = [keys.items, keys.seen, build_log_key(call.user_id, is_cluster=self._is_cluster)]
        if with_events or call.transfer is not None:
            key_arguments.append(keys.events)
        arguments = [
            *self._limits,
            self._log.policy,
            self._log.max_entries,
            int(self._acks is not None),
            call.user_id,
            call.item_keys,
            call.records,
        ]
        if call.transfer is not None:
            key_arguments.append(keys.merges)
            arguments += [call.transfer.source, call.transfer.token]
        return key_arguments, arguments


def group_by_user(events: Sequence[NewEvent]) -> Iterator[tuple[str, list[int]]]:
    """Yield (user, indices of at most MAX_EVENTS_PER_CALL events in event-time order)."""
    by_user: dict[str, list[int]] = {}
    for index, event in enumerate(events):
        by_user.setdefault(event.user_id, []).append(index)
    for user_id, indices in by_user.items():
        indices.sort(key=lambda index: events[index].timestamp_ms)  # stable: equal times keep their order
        for first in range(0, len(indices), MAX_EVENTS_PER_CALL):
            yield user_id, indices[first : first + MAX_EVENTS_PER_CALL]


def group_into_pipelines(calls: Iterable[tuple[str, list[int]]]) -> Iterator[list[tuple[str, list[int]]]]:
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
