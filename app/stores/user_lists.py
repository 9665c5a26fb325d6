"""Lists of users: those of the newest events, then a sample of all, in bounded time.

Candidates come from the event log and from a SCAN that ends after MAX_SCANNED keys. Each is listed only if its history
exists at this moment, so that users who were erased or merged never appear.
"""

import random
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from app.stores.entries import HEADER, decode_last_ms
from app.stores.keys import build_items_key, build_items_pattern, parse_user_id
from app.stores.log_entries import LogId
from app.stores.log_streams import LogStreams
from app.stores.redis.client import ConcurrencyLimiter, RedisClient, Script, StoreObserver, is_cluster, make_pipeline
from app.stores.redis.pipelines import OUTAGE_ERRORS, Command, PipelineLimits
from app.stores.redis.scans import Cursors

MAX_IN_FLIGHT = 2
MAX_SECONDS = 0.25
"""After this time no further round trip begins, and the list is as long as it is then."""
LOG_ENTRIES = 100
"""Entries of the event log that one call of the script reads: a millisecond if each has a thousand events."""
MAX_LOG_CALLS = 8
SAMPLED_STREAMS = 512
"""Streams of a Cluster, which has 16,384, that are looked at; chosen at random for every list."""
STREAMS_PER_CALL, ENTRIES_OF_SAMPLED = 64, 2
SCANNED_KEYS = 1_000
MAX_SCANNED = 20_000
"""Keys of each server that one list looks at."""


@dataclass(frozen=True, slots=True)
class ListedUser:
    """A user with a history; `last_ms` is the time of the last event, None for a history of the format before."""

    user_id: str
    last_ms: int | None


@dataclass(frozen=True, slots=True)
class UserList:
    """Some users; `is_complete` says whether these are all that have the prefix."""

    users: list[ListedUser]
    is_complete: bool


class UserLists:
    def __init__(
        self, client: RedisClient, streams: LogStreams, *, wait_s: float, observer: StoreObserver | None = None
    ) -> None:
        """A round trip takes at most `wait_s`, and a list waits as long for one of MAX_IN_FLIGHT slots."""
        self._pipeline = make_pipeline(client, PipelineLimits(send_s=wait_s))
        self._limiter = ConcurrencyLimiter(max_in_flight=MAX_IN_FLIGHT, wait_s=wait_s, observer=observer)
        self._streams = streams.keys
        self._is_cluster = is_cluster(client)
        self._script = Script("recent_users.lua")

    async def read(self, prefix: str, limit: int) -> UserList:
        """List at most `limit` users whose id begins with `prefix`: recently active ones first, then a sample.

        InvalidId if no id can begin with it. StoreUnavailable if Redis does not answer.
        """
        pattern = build_items_pattern(prefix)
        async with self._limiter.slot("users"):
            stop_at = perf_counter() + MAX_SECONDS
            recent = await self._find_recent(prefix.encode(), stop_at)
            candidates = ([prefix] if prefix else []) + recent[: 2 * limit]
            users = _sort(await self._check(candidates))[:limit]
            sample, is_complete = await self._scan(pattern, limit, {user.user_id for user in users}, stop_at)
        return UserList((users + _sort(sample))[:limit], is_complete and len(users) + len(sample) <= limit)

    async def close(self) -> None:
        await self._pipeline.close()

    async def _find_recent(self, prefix: bytes, stop_at: float) -> list[str]:
        """List users of the newest entries of the event log, the newest first."""
        newest: dict[bytes, LogId] = {}
        async for replies in self._read_streams(stop_at):
            for _, _, *pairs in replies:
                for user_id, log_id in zip(pairs[::2], pairs[1::2], strict=True):
                    if user_id.startswith(prefix):
                        newest.setdefault(user_id, LogId.parse(log_id))
        return [user_id.decode(errors="replace") for user_id in sorted(newest, key=newest.__getitem__, reverse=True)]

    async def _read_streams(self, stop_at: float) -> AsyncIterator[list[Any]]:
        """Yield replies of the script: of the only stream from its end, or of some streams of a Cluster."""
        if self._is_cluster:
            keys = random.sample(self._streams, SAMPLED_STREAMS)
            for first in range(0, len(keys), STREAMS_PER_CALL):
                calls = [([key], (b"+", ENTRIES_OF_SAMPLED)) for key in keys[first : first + STREAMS_PER_CALL]]
                replies = await self._script.run_each(self._pipeline, calls)
                yield [reply for reply in replies if not isinstance(reply, Exception)]
                if perf_counter() >= stop_at:
                    return
            return
        before = b"+"
        for _ in range(MAX_LOG_CALLS):
            (reply,) = await self._script.run(self._pipeline, [(self._streams[:1], (before, LOG_ENTRIES))])
            yield [reply]
            if int(reply[0]) < LOG_ENTRIES or perf_counter() >= stop_at:
                return
            before = b"(" + reply[1]

    async def _scan(
        self, pattern: bytes, limit: int, listed: Collection[str], stop_at: float
    ) -> tuple[list[ListedUser], bool]:
        """Return users that are not listed yet, and whether there are no others; ends when there are enough."""
        users: dict[str, ListedUser] = {}
        cursors: Cursors | None = None
        is_whole = True
        for _ in range(MAX_SCANNED // SCANNED_KEYS):
            step = await self._pipeline.scan(cursors, pattern, SCANNED_KEYS)
            cursors = step.cursors
            new_ids = _parse_ids(step.keys) - users.keys() - set(listed)
            is_whole &= step.is_whole and len(new_ids) <= limit
            users |= {user.user_id: user for user in await self._check(sorted(new_ids)[:limit])}
            if not cursors:
                return list(users.values()), is_whole
            if len(listed) + len(users) > limit or perf_counter() >= stop_at:
                break
        return list(users.values()), False

    async def _check(self, user_ids: Sequence[str]) -> list[ListedUser]:
        """Return those of the users that have a history, with the time of its last event."""
        keys = {user_id: build_items_key(user_id) for user_id in dict.fromkeys(user_ids)}
        if not keys:
            return []
        commands = [Command(key, ("GETRANGE", key, 0, HEADER.size - 1)) for key in keys.values()]
        replies = await self._pipeline.send(commands)
        outages = [reply for reply in replies if isinstance(reply, OUTAGE_ERRORS)]
        if len(outages) == len(replies):
            raise outages[0]
        return [
            ListedUser(user_id, decode_last_ms(reply))
            for user_id, reply in zip(keys, replies, strict=True)
            if reply and not isinstance(reply, Exception)
        ]


def _parse_ids(keys: Sequence[bytes]) -> set[str]:
    """Return the users of keys, without keys that are not ours."""
    user_ids = set()
    for key in keys:
        with suppress(UnicodeDecodeError):
            user_ids.add(parse_user_id(key))
    return user_ids


def _sort(users: Sequence[ListedUser]) -> list[ListedUser]:
    """Sort by the last event, the newest first, then by id."""
    return sorted(users, key=lambda user: (-(user.last_ms or 0), user.user_id))
