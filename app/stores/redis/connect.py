"""Open a Redis client from a URL: one server, TLS, a Unix socket, Sentinel or a cluster (app/redis_url.py)."""

import logging
import re
from typing import Any

from redis.asyncio import BlockingConnectionPool, Connection, Redis, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import SentinelConnectionPool
from redis.backoff import ExponentialBackoff, NoBackoff
from redis.exceptions import AuthenticationError, BusyLoadingError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError

from app.errors import StoreUnavailable
from app.redaction import redact_text
from app.redis_url import RedisUrl, parse_redis_url
from app.stores.redis.client import RedisClient
from app.stores.redis.pipelines import REDIS_ERRORS
from app.stores.redis.sentinel import SingleFlightSentinel

log = logging.getLogger("nextup")

RETRIES = 1
SCHEME_HINTS = {
    "cluster": "a node of a cluster: use redis{s}+cluster://host:port",
    "sentinel": "a Sentinel: use redis{s}+sentinel://host:port/service",
}
ERROR_HINTS = {
    "CERTIFICATE_VERIFY_FAILED": "name the file of its certificate authority with the option ssl_ca_certs",
    "WRONG_VERSION_NUMBER": "this port does not speak TLS; use a scheme without TLS",
    "record layer failure": "this port does not speak TLS; use a scheme without TLS",
    "CERTIFICATE_REQUIRED": "name the client's certificate with the options ssl_certfile and ssl_keyfile",
    "NOAUTH": "add user:password@ to the URL",
    "already authenticated": "add user:password@ to the URL",
    "Authentication required": "add user:password@ to the URL",
    "WRONGPASS": "check the user and the password of the URL",
    "invalid username-password": "check the user and the password of the URL",
    "DB index is out of range": "check the number of the database in the URL",
}
"""Advice by a part of the text of an error."""
DEFAULT_HINT = "check that it runs there, or correct NEXTUP_REDIS_URL"
CLOSED = ("Connection closed by server", "Connection reset by peer")
WRONG_KIND = ("luster mode is not enabled", "unknown command")
"""In errors of a server that is of another kind than the URL says."""


async def open_redis(
    url: str, *, max_connections: int = 32, timeout_s: float = 0.5, must_answer: bool = True
) -> RedisClient:
    """Open a client that has answered a PING; the caller closes it with `close_redis`.

    StoreUnavailable names the URL without its password if Redis does not answer there, and only the reason if the URL
    is not valid. Without `must_answer`, a Redis that is away is only logged: the client connects when it is used. A
    Redis that answers with an error, for example to a wrong password, still raises.
    """
    try:
        target = parse_redis_url(url)
    except ValueError as error:
        raise StoreUnavailable(f"the URL of Redis {error}; correct NEXTUP_REDIS_URL") from None
    client = _make_client(target, max_connections, timeout_s)
    try:
        await client.execute_command("PING")
        mode = None if isinstance(client, RedisCluster) else await _read_mode(client)
    except REDIS_ERRORS as error:
        reason = f"Redis does not answer at {target.text}: {_describe_error(error, target)}"
        if not must_answer and _is_away(error):
            log.warning("%s; the service starts without it and serves popular items until it answers", reason)
            return client
        await close_redis(client)
        raise StoreUnavailable(reason) from error
    if mode in SCHEME_HINTS:
        await close_redis(client)
        raise StoreUnavailable(f"{target.text} is {SCHEME_HINTS[mode].format(s='s' if target.tls else '')}")
    return client


def _is_away(error: Exception) -> bool:
    """Whether waiting may help: the error is none that the URL or its options cause."""
    is_refused = isinstance(error, (AuthenticationError, ResponseError)) and not isinstance(error, BusyLoadingError)
    return not is_refused and not any(part in str(error) for part in (*ERROR_HINTS, *CLOSED, *WRONG_KIND))


def _describe_error(error: Exception, target: RedisUrl) -> str:
    # Errors of Sentinel end with the representation of a client.
    text = re.sub(r"\s*:\s*<redis\..*", "", str(error), flags=re.DOTALL) or type(error).__name__
    reason = " ".join(redact_text(text).split()).rstrip(".")
    hint = next((hint for part, hint in ERROR_HINTS.items() if part in reason), None)
    if not target.tls and any(part in reason for part in CLOSED):
        hint = "if this port speaks TLS, use a scheme with rediss"
    elif hint is None and target.tls and "imeout" in reason:  # a server without TLS waits for the rest of a command
        hint = "if this port does not speak TLS, use a scheme without TLS"
    return f"{reason}; {hint or DEFAULT_HINT}"


async def _read_mode(client: Redis) -> str | None:
    """Read the server's mode, None if it does not report one; the wrong mode would fail at the first history."""
    try:
        return str((await client.info("server")).get("redis_mode"))
    except ResponseError:
        return None


async def close_redis(client: RedisClient) -> None:
    """Close every connection, including those to the Sentinels, which the client itself leaves open."""
    await client.aclose()
    pool = getattr(client, "connection_pool", None)
    if isinstance(pool, SentinelConnectionPool):
        await pool.sentinel_manager.aclose()


def _make_client(target: RedisUrl, max_connections: int, timeout_s: float) -> RedisClient:
    # One retry, for a connection that died while idle or at a failover. No retry after a timeout: that would only
    # double the wait of a caller whose deadline is near.
    common: dict[str, Any] = {
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "retry": Retry(ExponentialBackoff(cap=0.1, base=0.01), RETRIES, supported_errors=(RedisConnectionError,)),
        **target.options,
    }
    if target.kind == "sentinel":
        return _make_sentinel_client(target, max_connections, common)
    if target.kind == "cluster":
        return _make_cluster_client(target, max_connections, common)
    common |= {"username": target.username, "password": target.password, "db": target.db}
    if target.kind == "socket":
        common |= {"connection_class": UnixDomainSocketConnection, "path": target.socket}
        common.pop("socket_keepalive", None)  # has no meaning on a Unix socket, and its connection does not accept it
    else:
        ((host, port),) = target.hosts
        common |= {"connection_class": SSLConnection if target.tls else Connection, "host": host, "port": port}
    # Blocking: the default pool raises for its 101st caller instead of waiting for a free connection.
    return Redis.from_pool(BlockingConnectionPool(max_connections=max_connections, timeout=timeout_s, **common))


def _make_cluster_client(target: RedisUrl, max_connections: int, common: dict[str, Any]) -> RedisCluster:
    return RedisCluster(
        startup_nodes=[ClusterNode(host, port) for host, port in target.hosts],
        username=target.username,
        password=target.password,
        ssl=target.tls,
        # This pool raises when it is exhausted. The ConcurrencyLimiter prevents that; the rest is for discovery.
        max_connections=2 * max_connections,
        # Its own retries would close every node's connections; cluster_pipelines.py has its own rules for retries.
        **(common | {"retry": Retry(NoBackoff(), 0)}),
    )


def _make_sentinel_client(target: RedisUrl, max_connections: int, common: dict[str, Any]) -> Redis:
    """With TLS, connections to the Sentinels use it as well; user and password are those of the Redis servers."""
    if target.tls:
        common = common | {"ssl": True}
    sentinel = SingleFlightSentinel(target.hosts, sentinel_kwargs=dict(common))
    client: Redis = sentinel.master_for(
        target.service,
        db=target.db,
        username=target.username,
        password=target.password,
        max_connections=2 * max_connections,
        **common,
    )
    return client
