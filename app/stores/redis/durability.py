"""Whether a server can acknowledge a write after it is on disk, and how: NEXTUP_DURABILITY=always.

Redis since 7.2 and Valkey have WAITAOF, which waits for the fsync of all earlier writes of a connection. A server
without it must run with `appendfsync always`, where every reply follows the fsync.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoPermissionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from app.errors import StoreUnavailable
from app.stores.redis.client import RedisClient, make_pipeline

log = logging.getLogger("nextup")

Durability = Literal["everysec", "always"]
CONNECTION_ERRORS = (RedisConnectionError, RedisTimeoutError, OSError)
REMEDY = "run Redis with `appendonly yes` and `appendfsync always`, or set NEXTUP_DURABILITY=everysec"
_QUESTIONS = (("WAITAOF", 1, 0, 1), ("CONFIG", "GET", "appendonly"), ("CONFIG", "GET", "appendfsync"))


async def check_durability(client: RedisClient, durability: Durability, *, must_answer: bool = True) -> bool:
    """Whether each write must be followed by WAITAOF, so that its acknowledgement means that it is on disk.

    StoreUnavailable if a primary cannot promise that, or does not say whether it can. Without `must_answer`, a Redis
    that is away is asked by each write: where it turns out to have no WAITAOF, writes fail.
    """
    if durability != "always":
        return False
    try:
        primaries = await make_pipeline(client).broadcast(_QUESTIONS)
        for replies in primaries:
            _raise_connection_error(replies)
    except CONNECTION_ERRORS as error:
        if must_answer:
            raise StoreUnavailable(f"Redis does not answer: {error}") from error
        return True
    failures = [wait for wait, *_ in primaries if isinstance(wait, Exception)]
    for _, appendonly, appendfsync in primaries:
        _check_primary(failures[0] if failures else None, appendonly, appendfsync)
    return not failures


def _raise_connection_error(replies: Sequence[Any]) -> None:
    for reply in replies:
        if isinstance(reply, CONNECTION_ERRORS):
            raise reply


def _check_primary(wait_failure: Exception | None, appendonly: Any, appendfsync: Any) -> None:
    """Raise StoreUnavailable for the configuration of a primary; `wait_failure` is why WAITAOF cannot be used."""
    enabled, policy = _read_value(appendonly, "appendonly"), _read_value(appendfsync, "appendfsync")
    if enabled == "no" or "appendonly is disabled" in str(wait_failure):
        raise StoreUnavailable(f"NEXTUP_DURABILITY=always cannot hold: Redis runs with `appendonly no`; {REMEDY}")
    reason = "" if wait_failure is None else _explain_missing_wait(wait_failure)
    if policy == "no" or (policy == "everysec" and reason):
        detail = f"`appendfsync {policy}`" + (f", and {reason}" if reason else "")
        raise StoreUnavailable(f"NEXTUP_DURABILITY=always cannot hold: Redis runs with {detail}; {REMEDY}")
    if policy is None and reason:
        raise StoreUnavailable(
            f"NEXTUP_DURABILITY=always cannot be confirmed: {reason}, and CONFIG GET appendfsync fails "
            f"({_describe(appendfsync)}); permit one of them, or set NEXTUP_DURABILITY=everysec"
        )
    if policy == "everysec":
        log.warning(
            "Redis runs with `appendfsync everysec`: with NEXTUP_DURABILITY=always every acknowledgement waits for its "
            "next fsync; set `appendfsync always`, or raise NEXTUP_REDIS_TIMEOUT_MS to 2500 or more"
        )


def _explain_missing_wait(error: Exception) -> str:
    if isinstance(error, NoPermissionError):
        return "its user may not run WAITAOF"
    return "it has no WAITAOF (Redis before 7.2)" if "unknown command" in str(error) else f"WAITAOF fails ({error})"


def _read_value(reply: Any, name: str) -> str | None:
    """Return the value in a reply of CONFIG GET; None if it cannot be read."""
    if isinstance(reply, Mapping):  # RESP3
        values = dict(reply)
    elif isinstance(reply, Sequence) and len(reply) == 2:
        values = {reply[0]: reply[1]}
    else:
        return None
    value = values.get(name.encode(), values.get(name))
    return value.decode() if isinstance(value, bytes) else value


def _describe(reply: Any) -> str:
    return str(reply)[:200] if isinstance(reply, Exception) else "no value"
