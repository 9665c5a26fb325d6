"""Lists of users; reads, erasure and merge of one user's history."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from app.archive.erasure import Erasure, erase_user
from app.errors import InvalidRequest
from app.inference import AnswerCache
from app.stores.errors import InvalidId
from app.stores.history import HistoryStore
from app.stores.log_streams import LogStreams
from app.stores.results import EventHistory
from app.stores.user_lists import UserList, UserLists

LIST_WAIT_S = 0.5
"""Of lists of users, without their own."""


@dataclass(frozen=True, slots=True)
class MergeResult:
    """`stored` counts the events that this call has added to the target user."""

    stored: int
    history_version: int
    keys_removed: int


class UserService:
    def __init__(
        self,
        store: HistoryStore,
        streams: LogStreams | None = None,
        cache: AnswerCache | None = None,
        lists: UserLists | None = None,
        *,
        on_erased: Callable[[], None] = lambda: None,
    ) -> None:
        """`cache` has answers of users, which an erasure and a merge remove.

        `on_erased` is called when a user was erased or merged into another one.
        """
        self._store = store
        self._on_erased = on_erased
        self._streams = streams or LogStreams(store.client)
        self._cache = cache
        self._lists = lists or UserLists(store.client, self._streams, wait_s=LIST_WAIT_S)

    async def list(self, prefix: str, limit: int) -> UserList:
        """List users whose id begins with `prefix`, recently active ones first."""
        return await self._lists.read(prefix, limit)

    async def read_history(self, user_id: str) -> EventHistory:
        """Read a user's events; an unknown user has version 0 and none."""
        with _reject_invalid_ids():
            return await self._store.read_history(user_id)

    async def erase(self, user_id: str) -> Erasure:
        """Remove every key of a user and the entries of the event log, and mark the user in the archive."""
        with _reject_invalid_ids(), self._forget(user_id):
            erasure = await erase_user(self._store, self._streams, user_id)
        self._on_erased()
        return erasure

    async def merge(self, into: str, source: str) -> MergeResult:
        """Move the events of `source` to `into`, and erase `source` (app/stores/merges.py).

        The two users may be on different nodes, so this is not atomic: it may stop anywhere and be repeated. Events
        keep their identities, so a repetition finds them as duplicates. An erasure of a user that is answered before
        the merge wins.

        StoreUnavailable if the source changed during every attempt; DamagedHistory if a value cannot be read.
        """
        if into == source:
            raise InvalidRequest.for_field("from", "a user cannot be merged into itself")
        with _reject_invalid_ids(), self._forget(into, source):
            result = await self._store.merges.merge(source, into)
            version = result.version
            if version is None:
                version = (await self._store.read_recent(into)).version
        self._on_erased()
        return MergeResult(result.stored, version, result.keys_removed)

    @contextmanager
    def _forget(self, *user_ids: str) -> Iterator[None]:
        """Remove cached answers of users whose histories the block changes, also those computed meanwhile."""
        try:
            yield
        finally:
            if self._cache is not None:
                self._cache.forget(*user_ids)


@contextmanager
def _reject_invalid_ids() -> Iterator[None]:
    try:
        yield
    except InvalidId as error:
        raise InvalidRequest.for_field("user_id", str(error).removeprefix("user_id ")) from error
