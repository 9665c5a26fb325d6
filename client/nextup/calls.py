"""One call: its tries, and what follows from each outcome; without input and output, for both clients."""

import time
from collections.abc import Mapping
from typing import Any, Generic, TypeVar
from urllib.parse import quote, urlencode
from uuid import uuid4

import httpx
import msgspec

from nextup.errors import (
    ConnectionFailed,
    DeadlineExceeded,
    NextupError,
    ServiceError,
    Unauthorized,
    UnreadableAnswer,
    build_service_error,
)
from nextup.options import ClientOptions
from nextup.retries import RetryBudget, is_retryable, parse_retry_after
from nextup.route import Route
from nextup.version import __version__

T = TypeVar("T")

USER_AGENT = f"nextup-client/{__version__}"
CLOCK_TOLERANCE_S = 0.005
"""A time-out may end so much before the deadline that it was derived from."""
NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)
"""Errors before the first byte of a request."""


class Call(Generic[T]):
    """A call until its answer, its last error or its deadline."""

    def __init__(
        self,
        options: ClientOptions,
        budget: RetryBudget,
        route: Route[T],
        path_values: tuple[str, ...],
        *,
        query: Mapping[str, object] | None,
        body: Mapping[str, Any] | bytes | None,
        deadline_s: float | None,
    ) -> None:
        self._options = options
        self._budget = budget
        self._route = route
        self.deadline_s = options.deadline_s if deadline_s is None else deadline_s
        if not self.deadline_s > 0:
            raise ValueError(f"deadline_s must be positive (got {self.deadline_s})")
        self._deadline = time.monotonic() + self.deadline_s
        self.request_id = uuid4().hex
        self.method = route.method
        self.url = options.base_url.rstrip("/") + _fill_path(route.path, path_values) + _encode_query(query)
        self.content = body if isinstance(body, bytes) else _encode_body(route, body)
        self.title = f"{route.method} {route.path}"
        self._tries = 0
        self._key: str | None = None
        self._has_new_key = False
        self._last_error: NextupError | None = None
        budget.add_call()

    @property
    def remaining_s(self) -> float:
        """Seconds until the deadline; DeadlineExceeded if it has passed."""
        remaining_s = self._deadline - time.monotonic()
        if remaining_s <= 0:
            raise self.build_deadline_error()
        return remaining_s

    def start_try(self) -> tuple[dict[str, str], float]:
        """Return headers and time-out of the next try."""
        remaining_s = self.remaining_s
        self._tries += 1
        headers = {"Accept": "application/json", "User-Agent": USER_AGENT, "X-Request-ID": self.request_id}
        if self.content is not None:
            headers["Content-Type"] = "application/json"
        if self._route.has_deadline:
            headers["X-Request-Deadline-Ms"] = str(max(1, min(600_000, int(remaining_s * 1000))))
        self._key = self._options.read_key()
        if self._key is not None:
            headers["Authorization"] = f"Bearer {self._key}"
        return headers, min(self._options.timeout_s, remaining_s)

    def check_length(self, length: int) -> None:
        """UnreadableAnswer if an answer exceeds the limit; DeadlineExceeded if it took too long."""
        if length > self._options.max_answer_bytes:
            reason = f"it exceeds {self._options.max_answer_bytes} bytes (max_answer_bytes)"
            raise UnreadableAnswer(self.title, 200, reason, self.request_id)
        _ = self.remaining_s

    def read_answer(self, status: int, headers: httpx.Headers, content: bytes) -> T:
        """Decode a success; otherwise raise the error."""
        request_id = headers.get("X-Request-ID", self.request_id)
        if not 200 <= status < 300:
            retry_after_s = parse_retry_after(headers.get("Retry-After"))
            raise build_service_error(self.title, status, content, request_id, retry_after_s)
        try:
            return msgspec.json.decode(content, type=self._route.answer)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise UnreadableAnswer(self.title, status, str(error), request_id) from error

    def build_connection_error(self, error: httpx.RequestError) -> ConnectionFailed:
        was_sent = not isinstance(error, NEVER_SENT)
        return ConnectionFailed(self.title, self.request_id, error, was_sent=was_sent)

    def build_deadline_error(self) -> DeadlineExceeded:
        return DeadlineExceeded(self.title, self.request_id, self.deadline_s, self._last_error)

    def find_wait(self, error: NextupError) -> float:
        """Return the seconds until the next try; raise the error if there is none."""
        self._last_error = error
        if isinstance(error, Unauthorized) and self._may_use_new_key():
            self._has_new_key = True
            return 0.0
        retries = self._options.retries
        if self._tries >= retries.max_tries or not is_retryable(error, is_repeatable=self._route.is_repeatable):
            raise error
        retry_after_s = error.retry_after_s if isinstance(error, ServiceError) else None
        wait_s = retries.draw_wait(self._tries, retry_after_s)
        remaining_s = self._deadline - time.monotonic()
        if remaining_s <= CLOCK_TOLERANCE_S:
            raise self.build_deadline_error() from error
        if wait_s >= remaining_s:  # no time for another try
            raise error
        if not self._budget.take_retry():
            raise error
        return wait_s

    def _may_use_new_key(self) -> bool:
        """Whether the key has changed since this try; once per call."""
        return not self._has_new_key and self._options.read_key() != self._key


def _fill_path(path: str, values: tuple[str, ...]) -> str:
    """Put percent-encoded values into a path; ValueError for those that HTTP clients remove from paths."""
    pieces = path.split("{")
    filled = [pieces[0]]
    for piece, value in zip(pieces[1:], values, strict=True):
        name, _, remainder = piece.partition("}")
        if value in ("", ".", ".."):
            raise ValueError(f"{name} must not be {value!r}, which cannot be part of a path")
        filled.append(quote(value, safe="") + remainder)
    return "".join(filled)


def _encode_query(query: Mapping[str, object] | None) -> str:
    values = {} if query is None else {name: value for name, value in query.items() if value is not None}
    texts = {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in values.items()}
    return f"?{urlencode(texts)}" if texts else ""


def _encode_body(route: Route[Any], body: Mapping[str, Any] | None) -> bytes | None:
    if body is None:
        return None
    renamed = dict(route.renamed)
    return msgspec.json.encode({renamed.get(name, name): value for name, value in body.items()})
