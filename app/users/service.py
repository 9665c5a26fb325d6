"""Reads, erasure and merge of one user's history."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from app.errors import InvalidRequest, StoreUnavailable
from app.stores.errors import InvalidId
from app.stores.history import HistoryStore
from app.stores.results import EventHistory

MAX_MERGE_ATTEMPTS = 10


@dataclass(frozen=True, slots=True)
class MergeResult:
    """`stored` counts the events that the target user did not have yet."""

    stored: int
    history_version: int
    keys_removed: int


class UserService:
    def __init__(self, store: HistoryStore) -> None:
        self._store = store

    async def read_history(self, user_id: str) -> EventHistory:
        """Read a user's events; an unknown user has version 0 and none."""
        with _reject_invalid_ids():
            return await self._store.read_history(user_id)

    async def erase(self, user_id: str) -> int:
        """Remove every key of a user and return how many existed."""
        with _reject_invalid_ids():
            return await self._store.erase(user_id)

    async def merge(self, into: str, source: str) -> MergeResult:
        """Append the events of `source` to `into`, then erase `source`.

        The two users may be on different nodes, so this is not atomic: it may stop anywhere and be repeated. Events
        keep their identities, so a repetition finds them as duplicates. The source is erased only if it has not changed
        since it was read: an event that arrives in between is merged by the next attempt.

        StoreUnavailable if the source changed during every attempt; DamagedHistory if its two values do not match.
        """
        if into == source:
            raise InvalidRequest.for_field("from", "a user cannot be merged into itself")
        stored = 0
        with _reject_invalid_ids():
            for _ in range(MAX_MERGE_ATTEMPTS):
                snapshot = await self._store.read_snapshot(source)
                results = await self._store.append_snapshot(into, snapshot)
                stored += sum(result.status == "stored" for result in results)
                keys_removed = await self._store.erase_unchanged(source, snapshot)
                if keys_removed is not None:
                    return MergeResult(stored, (await self._store.read_recent(into)).version, keys_removed)
        raise StoreUnavailable(f"the source of the merge changed during all {MAX_MERGE_ATTEMPTS} attempts; try again")


@contextmanager
def _reject_invalid_ids() -> Iterator[None]:
    try:
        yield
    except InvalidId as error:
        raise InvalidRequest.for_field("user_id", str(error).removeprefix("user_id ")) from error
