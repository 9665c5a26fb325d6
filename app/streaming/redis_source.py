"""Messages from a Redis Stream by a consumer group; messages of consumers that ended are claimed after a while."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Literal

from redis.exceptions import ResponseError

from app.errors import StoreUnavailable
from app.stores.redis.client import RedisClient
from app.stores.redis.connect import close_redis, open_redis
from app.stores.redis.pipelines import REDIS_ERRORS
from app.streaming.messages import Message
from app.streaming.source import SourceUnavailable

Start = Literal["earliest", "latest"]
TIMEOUT_S = 5.0
MAX_COUNTED = 1_000
"""Most messages that are counted one by one, where Redis does not know the lag of the group."""
UNUSED_S = 86_400
"""A consumer without messages that was silent for so long is removed from the group."""
TRIMMED = "the entry was trimmed from the stream before it was stored; raise the MAXLEN of its producers"

# Removing a consumer drops its pending entries, so the check and the removal are one step.
REMOVE_UNUSED = """
local removed = 0
for _, row in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  local consumer = {}
  for at = 1, #row, 2 do consumer[row[at]] = row[at + 1] end
  if consumer.pending == 0 and consumer.idle > tonumber(ARGV[2]) then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], consumer.name)
    removed = removed + 1
  end
end
return removed
"""


class RedisStreamSource:
    """Implements EventSource. `claim_idle_s` is how long another consumer may hold a message before it is claimed."""

    def __init__(
        self,
        url: str,
        stream: str,
        *,
        group: str,
        consumer: str,
        field: str = "event",
        start: Start = "earliest",
        claim_idle_s: float = 60.0,
    ) -> None:
        self.name = f"redis:{stream}"
        self._url = url
        self._stream, self._group, self._consumer = stream, group, consumer
        self._field = field.encode()
        self._start = "0" if start == "earliest" else "$"
        self._claim_idle_s = claim_idle_s
        self._client: RedisClient | None = None
        self._own_pending_from: str | None = "0"
        """Position in the messages that an earlier run under this name read and did not acknowledge."""
        self._claim_from = "0-0"
        self._claim_due_at = 0.0

    async def open(self) -> None:
        try:
            self._client = await open_redis(self._url, max_connections=4, timeout_s=TIMEOUT_S)
        except StoreUnavailable as error:
            raise SourceUnavailable(error.detail) from error
        await self._create_group(self._start)
        async with self._report_errors() as client:
            await client.eval(REMOVE_UNUSED, 1, self._stream, self._group, str(UNUSED_S * 1000))

    async def _create_group(self, start: str) -> None:
        async with self._report_errors() as client:
            try:
                await client.xgroup_create(self._stream, self._group, id=start, mkstream=True)
            except ResponseError as error:
                if "BUSYGROUP" not in str(error):
                    raise

    async def read(self, max_messages: int, wait_s: float) -> list[Message]:
        """Read own messages of an earlier run first, then those that others left, then new ones."""
        if self._own_pending_from is not None:
            messages = await self._read_group(self._own_pending_from, max_messages, None)
            self._own_pending_from = messages[-1].offset if messages else None
            if messages:
                return messages
        if time.monotonic() >= self._claim_due_at and (messages := await self._claim(max_messages)):
            return messages
        return await self._read_group(">", max_messages, max(1, round(1000 * wait_s)))

    async def _read_group(self, position: str, count: int, block_ms: int | None) -> list[Message]:
        async with self._report_errors() as client:
            reply = await client.xreadgroup(
                self._group, self._consumer, {self._stream: position}, count=count, block=block_ms
            )
        return self._build_messages(reply[0][1] if reply else [])

    async def _claim(self, count: int) -> list[Message]:
        """Claim messages that were delivered `claim_idle_s` ago or earlier and never acknowledged."""
        async with self._report_errors() as client:
            cursor, entries, *trimmed = await client.xautoclaim(
                self._stream,
                self._group,
                self._consumer,
                min_idle_time=round(1000 * self._claim_idle_s),
                start_id=self._claim_from,
                count=count,
            )
        self._claim_from = cursor.decode()
        if self._claim_from == "0-0":
            self._claim_due_at = time.monotonic() + self._claim_idle_s / 2
        # Redis 7 lists ids that were trimmed from the stream separately, and has removed them from the group.
        return self._build_messages([*entries, *((entry_id, None) for entry_id in (trimmed[0] if trimmed else []))])

    def _build_messages(self, entries: Sequence[tuple[bytes, dict[bytes, bytes] | None]]) -> list[Message]:
        """Build messages; an entry without the field, or trimmed from the stream, has no value."""
        messages = []
        for entry_id, fields in entries:
            offset = entry_id.decode()
            value = fields.get(self._field) if fields else None
            absence = f"the entry has no field {self._field.decode()!r}" if fields else TRIMMED
            messages.append(Message(value, self.name, "0", offset, int(offset.partition("-")[0]), absence))
        return messages

    async def acknowledge(self, messages: Sequence[Message]) -> None:
        async with self._report_errors() as client:
            await client.xack(self._stream, self._group, *[message.offset for message in messages])

    async def keep_alive(self) -> None:
        """Do nothing: a message that is claimed by another consumer meanwhile takes effect once."""

    async def count_lag(self) -> int | None:
        async with self._report_errors() as client:
            groups = await client.xinfo_groups(self._stream)
            group = next((each for each in groups if each["name"] == self._group.encode()), None)
            if group is None:
                return None
            undelivered = group.get("lag")
            if undelivered is None:  # before Redis 7, and after entries were deleted one by one
                position = group["last-delivered-id"].decode()
                undelivered = len(await client.xrange(self._stream, min=f"({position}", count=MAX_COUNTED))
        return int(undelivered) + int(group["pending"])

    async def close(self) -> None:
        if self._client is not None:
            await close_redis(self._client)

    @asynccontextmanager
    async def _report_errors(self) -> AsyncIterator[Any]:
        """Yield the client and raise SourceUnavailable for errors; a group that is gone is created again.

        A new group begins with the first message: messages that were stored before are duplicates.
        """
        assert self._client is not None, "open comes first"
        try:
            yield self._client
        except REDIS_ERRORS as error:
            if "WRONGTYPE" in str(error):
                raise ValueError(f"the key {self._stream!r} is not a stream; name another --stream") from error
            if "NOGROUP" in str(error):
                await self._create_group("0")
            raise SourceUnavailable(f"{self.name}: {str(error)[:200] or type(error).__name__}") from error
