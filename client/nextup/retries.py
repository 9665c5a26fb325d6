"""When a request is sent again: full jitter, Retry-After, and a budget that all calls of a client share.

The waits are those of "Exponential Backoff and Jitter" (Brooker, AWS Architecture Blog, 2015), the budget is that of
"Handling Overload" (Beyer et al., Site Reliability Engineering, 2016, chapter 21).
"""

import random
import threading
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from time import time

from nextup.errors import ConnectionFailed, ServiceError

MAX_RETRY_AFTER_S = 3600.0
RETRIED_STATUSES = frozenset({408, 429, 502, 503, 504})
REJECTED_STATUSES = frozenset({429})
"""Statuses after which the service has done nothing, so that any request may be repeated."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """`max_tries` counts the first one; waits double from `first_wait_s` to `max_wait_s`, each with full jitter.

    Retries are at most `budget_ratio` of the calls, and `budget_size` more: a service that is away is not asked
    several times as often as one that works.
    """

    max_tries: int = 4
    first_wait_s: float = 0.1
    max_wait_s: float = 5.0
    budget_ratio: float = 0.1
    budget_size: int = 10

    def __post_init__(self) -> None:
        if self.max_tries < 1:
            raise ValueError(f"max_tries must be at least 1 (got {self.max_tries})")
        if not 0 <= self.first_wait_s <= self.max_wait_s:
            raise ValueError(f"first_wait_s must be between 0 and max_wait_s (got {self.first_wait_s})")
        if self.budget_ratio < 0 or self.budget_size < 0:
            raise ValueError("budget_ratio and budget_size must not be negative")

    def draw_wait(self, tries: int, retry_after_s: float | None) -> float:
        """Draw the seconds to wait after so many tries.

        With Retry-After, the jitter comes on top, so that the clients of a service do not return at the same moment.
        """
        longest = min(self.max_wait_s, self.first_wait_s * 2.0 ** min(tries - 1, 60))
        return (retry_after_s or 0.0) + random.uniform(0.0, longest)  # noqa: S311 - no secret


class RetryBudget:
    """Tokens for retries: each call adds a part of one, each retry takes one; for all threads of a client."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._ratio = policy.budget_ratio
        self._size = float(policy.budget_size)
        self._tokens = self._size
        self._lock = threading.Lock()

    def add_call(self) -> None:
        with self._lock:
            self._tokens = min(self._size, self._tokens + self._ratio)

    def take_retry(self) -> bool:
        """Take a token; False if there is none."""
        with self._lock:
            if self._tokens < 1.0:
                return False
            self._tokens -= 1.0
            return True


def is_retryable(error: Exception, *, is_repeatable: bool) -> bool:
    """Whether the request may be sent again after this error without a second effect."""
    if isinstance(error, ConnectionFailed):
        return is_repeatable or not error.was_sent
    if isinstance(error, ServiceError):
        return error.status in (RETRIED_STATUSES if is_repeatable else REJECTED_STATUSES)
    return False


def parse_retry_after(text: str | None) -> float | None:
    """Parse Retry-After, seconds or a date (RFC 9110, section 10.2.3); None if it is absent or neither."""
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - time()
        except ValueError:
            return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_S) if seconds == seconds else None
