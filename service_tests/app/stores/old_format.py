"""Values as they were stored before format 2 of histories."""

import struct

from app.stores.keys import build_user_keys
from app.stores.records import NewEvent, compute_identity
from app.stores.redis.client import RedisClient
from models.catalogue.item_key import item_key

NO_WATERMARK = -(2**62)


def encode_old_items(events: list[NewEvent], *, version: int, trimmed: int = 0, entry_bytes: int = 12) -> bytes:
    entries = [
        item_key(event.item_id) + struct.pack("<I", min(max(event.timestamp_ms // 1000, 0), 2**32 - 1))
        for event in events
    ]
    return struct.pack("<QII", version, trimmed, entry_bytes) + b"".join(entries)


def encode_old_events(events: list[NewEvent], *, watermark: int | None = None, trimmed: int = 0) -> bytes:
    mark = NO_WATERMARK if watermark is None else watermark
    first = 28 + sum(len(event.record) for event in events[:trimmed])
    header = struct.pack("<qqIII", mark, events[-1].timestamp_ms, trimmed, len(events) - trimmed, first)
    return header + b"".join(event.record for event in events)


async def store_old_history(
    client: RedisClient,
    user: str,
    events: list[NewEvent],
    *,
    version: int,
    watermark: int | None = None,
    trimmed: int = 0,
    trimmed_ids: list[str] | None = None,
) -> None:
    """Replace a user's values by those of the format before; the first `trimmed` events are trimmed."""
    keys = build_user_keys(user)
    await client.delete(*keys)
    await client.set(keys.items, encode_old_items(events, version=version, trimmed=trimmed))
    await client.set(keys.events, encode_old_events(events, watermark=watermark, trimmed=trimmed))
    if trimmed_ids:
        identities = [compute_identity(NewEvent(user, "", 0, event_id)) for event_id in trimmed_ids]
        await client.set(keys.seen, b"".join(identities))
