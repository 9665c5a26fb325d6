"""Client of nextup, the online next-item recommendation service."""

from nextup.async_client import AsyncClient
from nextup.client import Client
from nextup.errors import (
    Conflict,
    ConnectionFailed,
    DeadlineExceeded,
    Forbidden,
    InvalidRequest,
    NextupError,
    NotFound,
    ServiceError,
    ServiceTimeout,
    SpoolUnusable,
    TooManyRequests,
    Unauthorized,
    Unavailable,
    UnreadableAnswer,
)
from nextup.event_buffer import EventBuffer
from nextup.event_counts import DroppedEvent, EventCounts
from nextup.retries import RetryPolicy
from nextup.version import __version__

__all__ = [
    "AsyncClient",
    "Client",
    "Conflict",
    "ConnectionFailed",
    "DeadlineExceeded",
    "DroppedEvent",
    "EventBuffer",
    "EventCounts",
    "Forbidden",
    "InvalidRequest",
    "NextupError",
    "NotFound",
    "RetryPolicy",
    "ServiceError",
    "ServiceTimeout",
    "SpoolUnusable",
    "TooManyRequests",
    "Unauthorized",
    "Unavailable",
    "UnreadableAnswer",
    "__version__",
]
