"""The live catalogue in Redis: what operators say about items, and the changes since a version.

All workers follow the changes, so every change has a version. The epoch is drawn when the catalogue begins: a reader
that sees another one reads everything again, for example after a restore of an old snapshot. Records are JSON.
"""

import asyncio
import logging
import random
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from app.stores.cooccurrences import CooccurrenceStore
from app.stores.item_records import ItemRecord, decode_record, encode_record
from app.stores.keys import LIVE_ITEM_KEYS
from app.stores.redis.client import ConcurrencyLimiter, RedisClient, Script, make_pipeline
from app.stores.redis.pipelines import Command, PipelineLimits

log = logging.getLogger("nextup")

RECORDS_KEY = LIVE_ITEM_KEYS[0]
MAX_IN_FLIGHT = 4
MAX_REMOVED = 100_000
"""Removals that are remembered; a reader that has missed older ones reads everything again."""
MAX_WRITES = 100
"""Records that one call writes, so that no step of this process or of Redis is long."""
MAX_REPLY_BYTES = 250_000
"""Bytes of records in a reply after which it ends with the piece of at most 20 records that it reads."""
MAX_ATTEMPTS = 8
"""Most attempts to change records that other callers change at the same time."""
MAX_PAUSE_S = 0.01
"""Longest random pause before the second attempt; it doubles, so that writers do not meet again: 1.3 s in all."""

Edit = Callable[[ItemRecord | None], ItemRecord | None]


class CataloguePosition(NamedTuple):
    """Up to where a reader has read the changes; an empty epoch means from the beginning.

    `floor`: removals up to this version were forgotten when the reader began, so that it cannot have missed them.
    """

    epoch: str = ""
    version: int = 0
    floor: int = 0


@dataclass(frozen=True, slots=True)
class CatalogueChanges:
    """`records` by item id, None for a removed one. `restarts`: forget everything that was read before.

    `is_last`: there are no later changes at the moment.
    """

    position: CataloguePosition
    records: dict[str, ItemRecord | None]
    restarts: bool
    is_last: bool


class LiveItemStore:
    def __init__(self, client: RedisClient, *, wait_s: float, max_items: int) -> None:
        """An operation waits at most `wait_s` for a connection, and as long for its round trip."""
        self._pipeline = make_pipeline(client, PipelineLimits(send_s=wait_s))
        self.cooccurrences = CooccurrenceStore(client, wait_s=wait_s)
        self._limiter = ConcurrencyLimiter(max_in_flight=MAX_IN_FLIGHT, wait_s=wait_s)
        self._write_script = Script("live_items.lua")
        self._changes_script = Script("live_item_changes.lua")
        self._max_items = max_items

    async def put(self, records: Sequence[tuple[str, ItemRecord]]) -> list[str]:
        """Replace records in order; returns created, updated, unchanged or full per record."""
        outcomes = []
        for start in range(0, len(records), MAX_WRITES):
            piece = records[start : start + MAX_WRITES]
            outcomes += await self._write([(item_id, None, encode_record(record)) for item_id, record in piece])
        return outcomes

    async def edit(self, edits: Sequence[tuple[str, Edit]]) -> list[str]:
        """Replace each record by its edit, which gets the current record, None if there is none.

        Outcomes as of `put`; refused if the edit returns None; conflict if other callers changed the record in each of
        MAX_ATTEMPTS attempts.
        """
        outcomes = []
        for start in range(0, len(edits), MAX_WRITES):
            outcomes += await self._edit(edits[start : start + MAX_WRITES])
        return outcomes

    async def remove(self, item_ids: Sequence[str]) -> list[str]:
        """Remove records; returns removed or absent per id."""
        return await self._write([(item_id, None, b"") for item_id in item_ids])

    async def read(self, item_ids: Sequence[str]) -> list[ItemRecord | None]:
        """Read the records of items, in order."""
        values = await self._read_encoded(item_ids)
        return [_decode(item_id, value) for item_id, value in zip(item_ids, values, strict=True)]

    async def read_changes(self, position: CataloguePosition, limit: int = 1000) -> CatalogueChanges:
        """Read at most `limit` changes after a position, oldest first."""
        async with self._limiter.slot("catalogue"):
            call = (LIVE_ITEM_KEYS[:3], (position.version, limit, MAX_REPLY_BYTES))
            (reply,) = await self._changes_script.run(self._pipeline, [call])
            epoch, version, floor = reply[0].decode(), int(reply[1]), int(reply[2])
            has_missed_removals = floor > position.version and floor != position.floor
            is_same = epoch == position.epoch and position.version <= version and not has_missed_removals
            if not is_same and position.version:
                (reply,) = await self._changes_script.run(
                    self._pipeline, [(LIVE_ITEM_KEYS[:3], (0, limit, MAX_REPLY_BYTES))]
                )
                epoch, version, floor = reply[0].decode(), int(reply[1]), int(reply[2])
        changes = [reply[start : start + 3] for start in range(4, len(reply), 3)]
        records = {(name := item_id.decode()): _decode(name, value) for item_id, _, value in changes}
        is_last = int(reply[3]) == 1
        end = int(changes[-1][1]) if changes and not is_last else version
        start_floor = position.floor if is_same else floor
        new_position = CataloguePosition(epoch, end, start_floor)
        return CatalogueChanges(new_position, records, restarts=not is_same, is_last=is_last)

    async def close(self) -> None:
        await self._pipeline.close()
        await self.cooccurrences.close()

    async def _edit(self, edits: Sequence[tuple[str, Edit]]) -> list[str]:
        outcomes = ["conflict"] * len(edits)
        positions = list(range(len(edits)))
        for attempt in range(MAX_ATTEMPTS):
            if attempt:
                await asyncio.sleep(random.uniform(0, MAX_PAUSE_S * 2 ** (attempt - 1)))  # noqa: S311 - no secret
            ids = [edits[position][0] for position in positions]
            current: dict[str, bytes] = dict(zip(ids, await self._read_encoded(ids), strict=True))
            writes: dict[int, tuple[str, bytes | None, bytes]] = {}
            for position in positions:
                item_id, edit = edits[position]
                expected = current[item_id]
                if (record := edit(_decode(item_id, expected))) is None:
                    outcomes[position] = "refused"
                    continue
                writes[position] = item_id, expected, encode_record(record)
                current[item_id] = writes[position][2]  # the next edit of the same item follows this one
            for position, outcome in zip(writes, await self._write(list(writes.values())), strict=True):
                outcomes[position] = outcome
            positions = [position for position in positions if outcomes[position] == "conflict"]
            if not positions:
                break
        return outcomes

    async def _read_encoded(self, item_ids: Sequence[str]) -> list[bytes]:
        """Read encoded records, empty for items without one."""
        if not item_ids:
            return []
        async with self._limiter.slot("catalogue"):
            (reply,) = await self._pipeline.send([Command(RECORDS_KEY, ("HMGET", RECORDS_KEY, *item_ids))])
            if isinstance(reply, Exception):
                raise reply
        return [value or b"" for value in reply]

    async def _write(self, writes: Sequence[tuple[str, bytes | None, bytes]]) -> list[str]:
        """Write (id, expected record or None for any, new record or empty to remove)."""
        if not writes:
            return []
        arguments: list[Any] = [secrets.token_hex(8), MAX_REMOVED, self._max_items]
        for item_id, expected, record in writes:
            arguments += (item_id, int(expected is not None), expected or b"", record)
        async with self._limiter.slot("catalogue"):
            (outcomes,) = await self._write_script.run(self._pipeline, [(LIVE_ITEM_KEYS, arguments)])
        return [outcome.decode() for outcome in outcomes]


def _decode(item_id: str, value: bytes) -> ItemRecord | None:
    """Decode a record, None for an empty value; a damaged record counts as none, so that it harms no other item."""
    try:
        return decode_record(value) if value else None
    except ValueError as error:
        log.warning("the live record of item %r is damaged and ignored; put it again: %s", item_id, error)
        return None
