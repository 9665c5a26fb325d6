"""The steps of a merge in Redis, each atomic on one of its users (merges.lua, erase.lua)."""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, Literal, NamedTuple

from app.errors import DamagedHistory
from app.stores.event_log import EventLogLimits, MergeTransfer
from app.stores.impressions import MAX_MARKS
from app.stores.keys import DAY_MS, build_log_key, build_user_keys
from app.stores.redis.client import ConcurrencyLimiter, RedisClient, Script, is_cluster, is_data_error
from app.stores.redis.pipelines import CommandPipeline, WriteAcks
from app.stores.snapshot import HistorySnapshot

LIFETIME_MS = 30 * DAY_MS
"""How long a merge that stopped can be finished."""
COMMITTED, CANCELLED = "c", "x"
"""Kinds of a merge in the value of its source: its events left the source; an erasure of the source cancels it."""
_CHANGED = -1
_NOT_REGISTERED = -2

Control = Literal["merge", "erase", ""]
"""The entry of the event log that a merge ends with: its events are moved, or erased, or what is logged decides."""


class SourceState(NamedTuple):
    """The values of the source, and merges of it that were committed and not settled."""

    snapshot: HistorySnapshot
    unsettled: list[MergeTransfer]


class Erased(NamedTuple):
    """The number of removed keys, and merges that are not finished.

    `outgoing` may have moved events of the user elsewhere; events of `incoming` were in the history of the user.
    """

    keys_removed: int
    outgoing: list[MergeTransfer]
    incoming: list[MergeTransfer]


class Committed(NamedTuple):
    """The number of keys that were removed, and the impressions of the source with the lifetime of their key."""

    keys_removed: int
    lifetime_ms: int
    impressions: list[bytes]


class MergeSteps:
    def __init__(
        self,
        client: RedisClient,
        pipeline: CommandPipeline,
        limiter: ConcurrencyLimiter,
        log: EventLogLimits,
        acks: WriteAcks | None,
    ) -> None:
        self._is_cluster = is_cluster(client)
        self._pipeline, self._limiter, self._log, self._acks = pipeline, limiter, log, acks
        self._steps, self._erase = Script("impression_marks.lua", "merges.lua"), Script("erase.lua")

    async def offer(self, transfer: MergeTransfer) -> None:
        """Register the merge at the target, which then accepts its events."""
        await self._run("offer", transfer.target, transfer.token, LIFETIME_MS)

    async def begin(self, transfer: MergeTransfer) -> SourceState:
        """Register the merge at the source, and read the source."""
        keys = build_user_keys(transfer.source)
        arguments = (LIFETIME_MS, transfer.target)
        reply = await self._run("begin", transfer.source, transfer.token, *arguments, keys=[keys.items, keys.seen])
        items, identities, *unsettled = reply
        return SourceState(HistorySnapshot(items, identities), list(_read_outgoing(transfer.source, unsettled)))

    async def stage(self, transfer: MergeTransfer, events: bytes) -> bool:
        """Hold events at the target, outside of its history; False if an erasure cancelled the merge."""
        return bool(await self._run("stage", transfer.target, transfer.token, LIFETIME_MS, events))

    async def commit(self, snapshot: HistorySnapshot, transfer: MergeTransfer) -> Committed | None:
        """Remove every key of the source and return how many existed, and its impressions.

        None if the source has changed since `snapshot` was read, or an erasure of it cancelled the merge.
        """
        async with self._limiter.slot("merge"):
            arguments = (snapshot.items_sha1, transfer.target, transfer.token)
            removed, *impressions = await self._run_erase(transfer.source, *arguments)
        return None if removed in (_CHANGED, _NOT_REGISTERED) else Committed(int(removed), *impressions)

    async def read_staged(self, transfer: MergeTransfer) -> bytes | None:
        """Read the events that the target holds; None if it does not hold them any more."""
        state: bytes | None = await self._run("read", transfer.target, transfer.token)
        return state[1:] if state is not None and state.startswith(b"s") else None

    async def is_applied(self, transfer: MergeTransfer) -> bool:
        """Whether the history of the target has the events and the merge is not finished."""
        state: bytes | None = await self._run("read", transfer.target, transfer.token)
        return state is not None and state.startswith(b"a")

    async def add_impressions(self, transfer: MergeTransfer, committed: Committed) -> None:
        """Add the impressions of the source to those of the target, unless an erasure of the target came first."""
        if committed.lifetime_ms > 0 and (marks := committed.impressions):
            pairs = zip(marks[1::2], marks[::2], strict=True)
            arguments = (committed.lifetime_ms, MAX_MARKS, *chain.from_iterable(pairs))
            keys = [build_user_keys(transfer.target).impressions]
            await self._run("show", transfer.target, transfer.token, *arguments, keys=keys)

    async def settle(self, transfer: MergeTransfer, control: Control, kind: str = COMMITTED) -> bool:
        """Log what has become of the events, and forget the merge at the source; False if it is not of this kind."""
        log_key = build_log_key(transfer.source, is_cluster=self._is_cluster)
        arguments = (kind, control, self._log.policy, transfer.source)
        return bool(await self._run("settle", transfer.source, transfer.token, *arguments, keys=[log_key]))

    async def withdraw(self, transfer: MergeTransfer) -> None:
        """Remove the registrations of a merge that was not committed."""
        await self._run("withdraw", transfer.source, transfer.token, ">")
        await self.forget(transfer)

    async def forget(self, transfer: MergeTransfer) -> None:
        """Remove the merge at the target."""
        await self._run("withdraw", transfer.target, transfer.token, "<")

    async def finish(self, transfer: MergeTransfer) -> None:
        """Note at the target that the merge is answered, for the erasure that settles it."""
        await self._run("finish", transfer.target, transfer.token)

    async def erase(self, user_id: str) -> Erased:
        """Remove every key of a user, and cancel the merges into and from it that are not committed."""
        async with self._limiter.slot("erase"):
            removed, outgoing, incoming = await self._run_erase(user_id)
        return Erased(int(removed), list(_read_outgoing(user_id, outgoing)), list(_read_incoming(user_id, incoming)))

    async def cancel(self, transfer: MergeTransfer) -> bool:
        """Cancel a merge at its target; return whether the history of the target already has the events."""
        return bool(await self._run("cancel", transfer.target, transfer.token))

    async def _run(self, step: str, user_id: str, token: str, *arguments: Any, keys: Sequence[bytes] = ()) -> Any:
        call = ([build_user_keys(user_id).merges, *keys], [step, token, *arguments])
        async with self._limiter.slot("merge") as operation:
            (reply,) = await self._steps.run_each(self._pipeline, [call], self._acks)
            if isinstance(reply, Exception) and not is_data_error(reply):
                raise reply
            operation.partially_failed = isinstance(reply, Exception)
        if isinstance(reply, Exception):
            raise DamagedHistory.with_reason("Redis rejects the merge") from reply
        return reply

    async def _run_erase(self, user_id: str, *merge: str) -> list[Any]:
        keys = build_user_keys(user_id)
        log_key = build_log_key(user_id, is_cluster=self._is_cluster)
        call = (
            [*keys, log_key, keys.merges, keys.impressions],
            [int(self._acks is not None), self._log.policy, user_id, *merge],
        )
        (reply,) = await self._erase.run(self._pipeline, [call], self._acks)
        return list(reply)


def _read_outgoing(source: str, fields: Sequence[bytes]) -> Iterator[MergeTransfer]:
    for token, target in zip(fields[::2], fields[1::2], strict=True):
        yield MergeTransfer(source, target.decode(), token.decode())


def _read_incoming(target: str, fields: Sequence[bytes]) -> Iterator[MergeTransfer]:
    for token, source in zip(fields[::2], fields[1::2], strict=True):
        yield MergeTransfer(source.decode(), target, token.decode())
