"""Two histories become one: an anonymous id turns out to be a known user.

The two users may lie on different nodes, so this is no single step; it is a sequence that may stop anywhere and be
repeated. Knows HistoryStore and its scripts; does not know why two ids are the same person.
"""

from hashlib import sha1

from app.errors import InvalidRequest, StoreUnavailable
from app.stores.entries import ENTRY_BYTES
from app.stores.history import MAX_EVENTS_PER_CALL, HistoryStore
from app.stores.records import RECORD, get_retained_records
from app.stores.results import MergeResult, decode_history

ATTEMPTS = 10


async def merge_histories(store: HistoryStore, into: str, source: str) -> MergeResult:
    """Put the events of `source` into `into`, then erase `source`.

    Events enter under the identities they already have, so a repetition after a crash finds them as duplicates. The
    source is erased only if it still is what was read: an event that arrives meanwhile is merged by the next attempt.
    """
    if into == source:
        raise InvalidRequest("a user cannot be merged into itself")
    stored = 0
    for _ in range(ATTEMPTS):
        items, events = await store.read_values(source)
        records, entries = _whole(get_retained_records(events), decode_history(items).entries.tobytes())
        for some_entries, some_records in _runs(entries, records):
            (outcomes,) = await store.append_records([(into, some_entries, some_records)])
            stored += sum(outcome.status == "stored" for outcome in outcomes)
        unchanged = sha1(events or b"", usedforsecurity=False).hexdigest()
        async with store.limiter.slot("merge"):
            removed = await store.erase_if(source, unchanged)
        if removed >= 0:
            return MergeResult(stored, (await store.read_recent(into)).version, removed)
    raise StoreUnavailable(f"the source of a merge changed {ATTEMPTS} times in a row")


def _whole(joined: bytes, entries: bytes) -> tuple[list[bytes], bytes]:
    records, at = [], 0
    while at < len(joined):
        *_, rest = RECORD.unpack_from(joined, at)
        end = at + RECORD.size + rest
        records.append(joined[at:end])
        at = end
    if len(entries) != ENTRY_BYTES * len(records):
        raise StoreUnavailable("the source of a merge is damaged: its two values do not match")
    return records, entries


def _runs(entries: bytes, records: list[bytes]) -> list[tuple[bytes, bytes]]:
    return [
        (
            entries[ENTRY_BYTES * at : ENTRY_BYTES * (at + MAX_EVENTS_PER_CALL)],
            b"".join(records[at : at + MAX_EVENTS_PER_CALL]),
        )
        for at in range(0, len(records), MAX_EVENTS_PER_CALL)
    ]
