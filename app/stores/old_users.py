"""Users who were stored before there was an event log and have had no event since: their events are in Redis only."""

from collections.abc import AsyncIterator

from app.stores.history import HistoryStore
from app.stores.keys import OLD_EVENTS_PATTERN, parse_user_id
from app.stores.records import HistoryEvent


async def iter_old_events(store: HistoryStore) -> AsyncIterator[tuple[str, list[HistoryEvent]]]:
    """Yield each of these users with all events, in no order.

    A user whom a new event converts meanwhile may be missed: the event log then has the events.
    """
    keys: set[bytes] = set()  # SCAN may return a key twice while Redis rehashes
    async for key in store.client.scan_iter(match=OLD_EVENTS_PATTERN, count=1000):
        if key not in keys:
            keys.add(key)
            user_id = parse_user_id(key)
            yield user_id, await store.read_old_events(user_id)
