"""Open a Redis client from a URL: one server, TLS, a Unix socket, Sentinel or a cluster.

redis://[user:password@]host[:port][/db]     rediss://… the same with TLS     unix:///path[?db=0]
redis+sentinel://[user:password@]host[:port],host[:port]…/service[/db]
redis+cluster://[user:password@]host[:port],host[:port]…
"""

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import SentinelConnectionPool
from redis.backoff import ExponentialBackoff, NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from app.errors import StoreUnavailable
from app.stores.redis.client import RedisClient
from app.stores.redis.pipelines import REDIS_ERRORS
from app.stores.redis.sentinel import SingleFlightSentinel

RETRIES = 1
SENTINEL_PORT, REDIS_PORT = 26379, 6379
MAX_PORT = 65535
SCHEME_HINTS = {
    "cluster": "a node of a cluster: use redis+cluster://host:port",
    "sentinel": "a Sentinel: use redis+sentinel://host:port/service",
}


async def open_redis(url: str, *, max_connections: int = 32, timeout_s: float = 0.5) -> RedisClient:
    """Open a client that has answered a PING; the caller closes it with `close_redis`.

    StoreUnavailable names the URL, without its password, if it is not valid or Redis does not answer there.
    """
    try:
        client = _make_client(url, max_connections, timeout_s)
    except ValueError as error:
        raise StoreUnavailable(f"not a Redis URL: {redact_url(url)}: {error}") from error
    try:
        await client.execute_command("PING")
        mode = None if isinstance(client, RedisCluster) else await _read_mode(client)
    except REDIS_ERRORS as error:
        await close_redis(client)
        reason = str(error) or type(error).__name__
        raise StoreUnavailable(f"Redis does not answer at {redact_url(url)}: {reason}") from error
    if mode in SCHEME_HINTS:
        await close_redis(client)
        raise StoreUnavailable(f"{redact_url(url)} is {SCHEME_HINTS[mode]}")
    return client


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


def redact_url(url: str) -> str:
    """Remove user and password from a URL, for logs and errors."""
    without_userinfo = re.sub(r"://[^/?#]*@", "://***@", url)
    return re.sub(r"(password=)[^&#]*", r"\1***", without_userinfo)


@dataclass(frozen=True, slots=True)
class MultiHostUrl:
    """The parts of a URL that may name several hosts."""

    hosts: tuple[tuple[str, int], ...]
    username: str | None
    password: str | None
    path: tuple[str, ...]


def parse_multi_host_url(url: str, default_port: int) -> MultiHostUrl:
    """Parse a Sentinel or cluster URL; ValueError if it has any part that would be ignored."""
    parts = urlsplit(url)
    if parts.query or parts.fragment:
        raise ValueError(f"options are not supported ({parts.query or parts.fragment})")
    userinfo, _, hosts = parts.netloc.rpartition("@")
    username, _, password = userinfo.partition(":")
    return MultiHostUrl(
        tuple(_parse_host_and_port(host, default_port) for host in hosts.split(",")),
        unquote(username) or None,
        unquote(password) or None,
        tuple(unquote(part) for part in parts.path.split("/") if part),
    )


def _parse_host_and_port(text: str, default_port: int) -> tuple[str, int]:
    match = re.fullmatch(r"(\[[^\]]+\]|[^:\[\]]+)(?::(\d+))?", text.strip())
    if match is None or not 1 <= int(match[2] or default_port) <= MAX_PORT:
        raise ValueError(f"{text!r} is not host:port")
    return match[1].strip("[]"), int(match[2] or default_port)


def _make_client(url: str, max_connections: int, timeout_s: float) -> RedisClient:
    # One retry, for a connection that died while idle or at a failover. No retry after a timeout: that would only
    # double the wait of a caller whose deadline is near.
    common: dict[str, Any] = {
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "retry": Retry(ExponentialBackoff(cap=0.1, base=0.01), RETRIES, supported_errors=(RedisConnectionError,)),
    }
    scheme = url.partition("://")[0]
    if scheme == "redis+sentinel":
        return _make_sentinel_client(url, max_connections, common)
    if scheme == "redis+cluster":
        return _make_cluster_client(url, max_connections, common)
    if scheme not in ("redis", "rediss", "unix"):
        raise ValueError("it must begin with redis://, rediss://, unix://, redis+sentinel:// or redis+cluster://")
    # Blocking: the default pool raises for its 101st caller instead of waiting for a free connection.
    pool = BlockingConnectionPool.from_url(url, max_connections=max_connections, timeout=timeout_s, **common)
    return Redis.from_pool(pool)


def _make_cluster_client(url: str, max_connections: int, common: dict[str, Any]) -> RedisCluster:
    target = parse_multi_host_url(url, REDIS_PORT)
    if target.path not in ((), ("0",)):
        raise ValueError(f"a cluster has no databases (/{'/'.join(target.path)})")
    return RedisCluster(
        startup_nodes=[ClusterNode(host, port) for host, port in target.hosts],
        username=target.username,
        password=target.password,
        # This pool raises when it is exhausted. The ConcurrencyLimiter prevents that; the rest is for discovery.
        max_connections=2 * max_connections,
        # Its own retries would close every node's connections; cluster_pipelines.py has its own rules for retries.
        **(common | {"retry": Retry(NoBackoff(), 0)}),
    )


def _make_sentinel_client(url: str, max_connections: int, common: dict[str, Any]) -> Redis:
    target = parse_multi_host_url(url, SENTINEL_PORT)
    if not 1 <= len(target.path) <= 2 or not all(db.isdecimal() for db in target.path[1:]):
        raise ValueError("the path must name the service and may name a database: /mymaster/0")
    service, db = target.path[0], int(target.path[1]) if len(target.path) == 2 else 0
    sentinel = SingleFlightSentinel(target.hosts, sentinel_kwargs=dict(common))
    client: Redis = sentinel.master_for(
        service,
        db=db,
        username=target.username,
        password=target.password,
        max_connections=2 * max_connections,
        **common,
    )
    return client
