"""One user's data: read, merge, erase. It knows no HTTP."""

from app.stores.history import HistoryStore
from app.stores.merge import merge_histories
from app.stores.results import EventHistory, MergeResult


class UserService:
    def __init__(self, store: HistoryStore) -> None:
        self._store = store

    async def history(self, user_id: str) -> EventHistory:
        """Version 0 and no events for a user that nobody has heard of."""
        return await self._store.read_history(user_id)

    async def erase(self, user_id: str) -> int:
        """Remove everything of a user; how many keys that were."""
        return await self._store.erase(user_id)

    async def merge(self, into: str, source: str) -> MergeResult:
        """Move the events of `source` to `into`. May be repeated after a failure: what has moved is not moved twice."""
        return await merge_histories(self._store, into, source)
