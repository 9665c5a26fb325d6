"""Merges of two users, and erasures that win over the merges that are running.

The users may be on different nodes, so a merge has steps, each atomic on one user. `n:{user}:merges` is a hash with a
field per merge, a kind and the token of the attempt:

    at the source   >T  target              registered
                    cT  log id | target     committed: the events have left the source, behind this place of the log
                    xT  log id | target     an erasure of the source is cancelling it
    at the target   <T  empty, s events     registered; the events are held here
                        a source, f source  the events are in the history; and the merge is answered

    offer    target  <T                     begin   source  >T, and the source is read
    stage    target  <T = s events          commit  source  the keys are removed, >T becomes cT
    apply    target  <T = a, events are in the history
    settle   source  the event log gets the merge, cT is removed       forget  target  <T is removed

An erasure removes the registrations of its user, so that no step can follow that needs them, and then those of the
merges from this user at their targets. It wins over every merge whose events are not in the history of the target. The
attempt after it finds an empty source. A merge that stops behind its commit is finished by the next one of its source.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from secrets import token_hex

from app.errors import DamagedHistory, StoreUnavailable
from app.stores.appends import AppendCall, MergeCancelled
from app.stores.entries import is_old_format
from app.stores.event_log import MergeTransfer
from app.stores.keys import build_user_keys
from app.stores.merge_steps import CANCELLED, COMMITTED, Committed, MergeSteps
from app.stores.results import AppendResult
from app.stores.snapshot import HistorySnapshot, split_encoded

MAX_ATTEMPTS = 10
FINISH_WAIT_S = 1.0
"""How long an erasure waits for a merge for which it is too late, so that its receipt follows the merge's answer."""
_POLL_S = 0.01

Append = Callable[[AppendCall], Awaitable[list[AppendResult]]]
StepObserver = Callable[[str], Awaitable[None]]
STEPS = ("offer", "begin", "stage", "commit", "apply", "settle", "forget")


@dataclass(frozen=True, slots=True)
class MergeResult:
    """`stored` counts the events that the merge has added to the target, also those of a merge that it has finished.

    `version` is None if there were no events to append.
    """

    stored: int
    version: int | None
    keys_removed: int


class Merges:
    """Merges and erasures; `on_step` is awaited in front of each step of a merge, and of `cancel` of an erasure."""

    def __init__(self, steps: MergeSteps, append: Append, *, on_step: StepObserver | None = None) -> None:
        self._steps = steps
        self._append = append
        self._on_step = on_step

    async def merge(self, source: str, target: str) -> MergeResult:
        """Move the events of the source to the target, under the identities that they have.

        May stop anywhere and be repeated. InvalidId if an id cannot be part of a key; StoreUnavailable if the source
        changed, or was erased, during every attempt; DamagedHistory if a value cannot be read.
        """
        for user_id in (source, target):
            build_user_keys(user_id)
        finished: list[AppendResult] = []
        for _ in range(MAX_ATTEMPTS):
            result = await self._attempt(MergeTransfer(source, target, token_hex(8)), finished)
            if result is not None:
                return result
        raise StoreUnavailable(f"the source of the merge changed during all {MAX_ATTEMPTS} attempts; try again")

    async def erase(self, user_id: str) -> int:
        """Remove every key of a user and return how many existed; cancel merges from and into it."""
        keys_removed, outgoing, incoming = await self._steps.erase(user_id)
        for transfer in incoming:  # the events may have moved on, so that the log needs the merge
            for kind in (COMMITTED, CANCELLED):
                await self._steps.settle(transfer, "merge", kind)
        for transfer in outgoing:
            await self._enter("cancel")
            is_applied = await self._steps.cancel(transfer)
            await self._steps.settle(transfer, "merge" if is_applied else "", CANCELLED)
            if is_applied:
                await self._wait_until_finished(transfer)
        return keys_removed

    async def _attempt(self, transfer: MergeTransfer, finished: list[AppendResult]) -> MergeResult | None:
        """Try once; None if the source has changed or an erasure cancelled the merge.

        `finished` gets the results of earlier merges of the two users that had stopped.
        """
        is_committed = False
        try:
            await self._enter("offer")
            await self._steps.offer(transfer)
            snapshot = await self._begin(transfer, finished)
            events = b"".join(snapshot.encode_events())
            await self._append(AppendCall(transfer.target, b"", b""))  # the target can be read and changed
            await self._enter("stage")
            if not await self._steps.stage(transfer, events):
                return None
            await self._enter("commit")
            is_committed = True  # or not: without an answer, the events may be only at the target
            committed = await self._steps.commit(snapshot, transfer)
            is_committed = committed is not None
            if committed is None:
                return None
        finally:
            if not is_committed:
                with suppress(StoreUnavailable, DamagedHistory):
                    await self._steps.withdraw(transfer)
        results = await self._apply(transfer, events, committed)
        if results is None:
            return None
        stored = sum(result.status == "stored" for result in (*finished, *results))
        return MergeResult(stored, results[-1].history_version if results else None, committed.keys_removed)

    async def _begin(self, transfer: MergeTransfer, finished: list[AppendResult]) -> HistorySnapshot:
        """Register at the source and read it, behind merges that stopped and in the format of today."""
        await self._enter("begin")
        snapshot, unsettled = await self._steps.begin(transfer)
        for earlier in unsettled:
            results = await self._finish(earlier)
            if earlier.target == transfer.target:
                finished.extend(results)
        if is_old_format(snapshot.items):
            await self._append(AppendCall(transfer.source, b"", b""))
            snapshot, _ = await self._steps.begin(transfer)
        return snapshot

    async def _finish(self, transfer: MergeTransfer) -> list[AppendResult]:
        """Finish a merge that was committed and has stopped, or is still running; return the results of its events."""
        events = await self._steps.read_staged(transfer)
        if events is not None:
            return await self._apply(transfer, events) or []
        is_applied = await self._steps.is_applied(transfer)
        await self._settle(transfer, is_applied=is_applied)
        return []

    async def _apply(
        self, transfer: MergeTransfer, events: bytes, committed: Committed | None = None
    ) -> list[AppendResult] | None:
        """Add the events to the history of the target; None if an erasure of a user came first.

        Impressions follow only if they were `committed` by this process: they are short-lived and not staged.
        """
        keys, records = split_encoded(events)
        await self._enter("apply")
        try:
            results = await self._append(AppendCall(transfer.target, keys, records, transfer))
        except MergeCancelled as cancelled:
            await self._settle(transfer, is_applied=cancelled.is_applied)
            return [] if cancelled.is_applied else None
        if committed is not None:
            await self._steps.add_impressions(transfer, committed)
        await self._settle(transfer, is_applied=True)
        return results

    async def _settle(self, transfer: MergeTransfer, *, is_applied: bool) -> None:
        """Settle the merge; one whose source is being erased is settled by the erasure, which has to see its state."""
        await self._enter("settle")
        is_settled = await self._steps.settle(transfer, "merge" if is_applied else "erase")
        await self._enter("forget")
        if is_settled:
            await self._steps.forget(transfer)
        else:
            await self._steps.finish(transfer)

    async def _wait_until_finished(self, transfer: MergeTransfer) -> None:
        # No timeout of asyncio: redis-py can swallow a cancellation in the middle of a command.
        deadline = time.monotonic() + FINISH_WAIT_S
        while time.monotonic() < deadline and await self._steps.is_applied(transfer):  # noqa: ASYNC110 - another process
            await asyncio.sleep(_POLL_S)
        await self._steps.forget(transfer)

    async def _enter(self, step: str) -> None:
        if self._on_step is not None:
            await self._on_step(step)
