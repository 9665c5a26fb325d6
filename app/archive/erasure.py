"""Erase a user everywhere: in Redis immediately, in the archive by a mark that readers honor."""

from dataclasses import dataclass
from typing import Literal

from app.stores.history import HistoryStore
from app.stores.log_streams import LogStreams

ArchiveMark = Literal["marked", "compacted"]


@dataclass(frozen=True, slots=True)
class Erasure:
    """The receipt of an erasure.

    `log_entries_removed` counts entries of the event log that were not archived yet. `archive` is "marked" if readers
    of the archive omit the user from now on and the next compaction removes the rows.
    """

    keys_removed: int
    log_entries_removed: int
    archive: ArchiveMark


async def erase_user(store: HistoryStore, streams: LogStreams, user_id: str) -> Erasure:
    """Erase a user; idempotent. StoreUnavailable or InvalidId as of the store.

    With the event log off, an archive from before may still have the user: the mark is written all the same.
    """
    keys_removed = await store.erase(user_id)
    if not store.logs_events:
        await streams.append_erasure(user_id)
    log_entries_removed = await streams.remove_events(user_id)
    return Erasure(keys_removed, log_entries_removed, "marked")
