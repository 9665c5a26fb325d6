"""A sample of recent queries, with which a new version is compared before it serves.

In memory only: few, for a minute, without users or traces, and all of them are dropped when a user is erased, because
a query does not say whose history it holds.
"""

import dataclasses
import time
from collections import deque

from app.inference.query import Query

LIFETIME_S = 60.0
INTERVAL_S = 0.02
"""Shortest time between two recorded queries, so that recording costs nothing under load."""
MAX_KEYS = 4096
"""Most items of a recorded query, filters included."""


class RecentQueries:
    """Holds at most `size` queries; 0 records none."""

    def __init__(self, size: int) -> None:
        self._queries: deque[tuple[float, Query]] = deque(maxlen=size)
        self._last_at = 0.0

    def __len__(self) -> int:
        return len(self._queries)

    def record(self, query: Query) -> None:
        """Keep a query unless another one was recorded just before, or it is large."""
        now = time.monotonic()
        if now - self._last_at < INTERVAL_S or not self._queries.maxlen or query.explain:
            return
        size = len(query.history) + len(query.exclude) + (0 if query.candidates is None else len(query.candidates))
        if size <= MAX_KEYS:
            self._last_at = now
            # Times may be a function that holds the stored history.
            self._queries.append((now, dataclasses.replace(query, times=query.read_times(), trace=None)))

    def list_queries(self) -> list[Query]:
        """List the queries that have not expired, newest first."""
        self.drop_expired()
        return [query for _, query in reversed(self._queries)]

    def drop_expired(self) -> None:
        while self._queries and time.monotonic() - self._queries[0][0] > LIFETIME_S:
            self._queries.popleft()

    def clear(self) -> None:
        self._queries.clear()
