"""Synchronous probes of a server on a Unix socket: one short try each, without the retries of the client."""

from pathlib import Path

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import BusyLoadingError, RedisError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

TIMEOUT_S = 1.0


def open_probe(socket: Path) -> Redis:
    """Open a client for a `with` block."""
    return Redis(unix_socket_path=str(socket), socket_timeout=TIMEOUT_S, retry=Retry(NoBackoff(), 0))


def is_answering(socket: Path) -> bool:
    """Whether the server answers, if only with an error."""
    with open_probe(socket) as client:
        try:
            client.ping()
        except BusyLoadingError:
            return True
        except (RedisConnectionError, RedisTimeoutError, OSError):
            return False
        except RedisError:
            return True
    return True
