"""Client end of one connection to the model process: pending queries of an HTTP worker and their deadlines.

Every query has a number, a future and a timer. It is dropped when its result arrives, its deadline passes, its caller
disconnects or the connection ends, whichever comes first. `engine` opens and reopens connections.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Any

from app.errors import DeadlineExceeded, Draining, ModelUnavailable, Overloaded
from app.inference.comparison import ActivationOutcome
from app.inference.query import Query, SimilarQuery, TopItems
from app.inference.remote.framing import FramedConnection
from app.inference.remote.protocol import (
    ActivateRequest,
    Announcement,
    CancelRequest,
    ClientMessage,
    ErrorResult,
    QueryResult,
    decode_error,
    decode_result,
    encode_query,
    encoder,
    server_message_decoder,
)
from app.telemetry.metrics import BatchMetrics
from models.catalogue.catalogue import Catalogue

PROCESS_ENDED = "the model process ended"


class ModelConnection:
    """At most `max_pending` queries may wait; `find_catalogue` returns the catalogue of a version."""

    def __init__(self, find_catalogue: Callable[[str], Catalogue | None], *, max_pending: int) -> None:
        self._find_catalogue = find_catalogue
        self._max_pending = max_pending
        self._numbers = count()
        self._queries: dict[int, asyncio.Future[TopItems]] = {}
        self._activations: dict[int, asyncio.Future[ActivationOutcome]] = {}
        self._announcements: deque[Announcement] = deque()
        self._wake_up = asyncio.Event()
        self._is_closed = False
        self._metrics = BatchMetrics()
        self.waiting_since: float | None = None
        """Since when queries have been sent without any answer, by time.monotonic(); None while none is owed."""
        self.model_problem: str | None = None
        """Why the process cannot answer queries, as it said last."""
        self.frames = FramedConnection(self._on_message, self._on_end)

    @property
    def pending_count(self) -> int:
        """Number of unanswered queries."""
        return len(self._queries)

    def get_frames(self) -> FramedConnection:
        """Protocol factory for asyncio."""
        return self.frames

    async def find_top_items(self, query: Query | SimilarQuery, deadline: float) -> TopItems:
        """See Engine.find_top_items.

        Counts its own rejections; the model process counts those on its side.
        """
        loop = asyncio.get_running_loop()
        if self._is_closed:
            raise ModelUnavailable(PROCESS_ENDED)
        if loop.time() >= deadline:
            self._metrics.on_rejected("deadline")
            raise DeadlineExceeded("model: the deadline passed")
        if len(self._queries) >= self._max_pending or self.frames.is_backpressured:
            self._metrics.on_rejected("overloaded")
            raise Overloaded(f"model: {len(self._queries)} requests of this worker already wait; retry later")
        number = next(self._numbers)
        self._send(encode_query(number, query, deadline))
        if self.waiting_since is None:
            self.waiting_since = time.monotonic()
        waiter: asyncio.Future[TopItems] = loop.create_future()
        self._queries[number] = waiter
        timer = loop.call_at(deadline, self._expire, number)
        try:
            return await waiter
        except asyncio.CancelledError:
            self._send(CancelRequest(number))
            if len(self._queries) == 1:  # a cancelled query gets no answer
                self.waiting_since = None
            raise
        finally:
            timer.cancel()
            self._queries.pop(number, None)

    async def activate(self, version: str) -> ActivationOutcome:
        """Activate a version and return the previous one with their comparison.

        The caller sets the deadline, because a large model takes a long time to load.
        """
        if self._is_closed:
            raise ModelUnavailable(PROCESS_ENDED)
        number = next(self._numbers)
        self._send(ActivateRequest(number, version))
        waiter: asyncio.Future[ActivationOutcome] = asyncio.get_running_loop().create_future()
        self._activations[number] = waiter
        try:
            return await waiter
        finally:
            self._activations.pop(number, None)

    async def wait_for_announcement(self) -> Announcement | None:
        """Return the next announcement of versions; messages after it are held back until `frames.resume`.

        None when the connection has ended.
        """
        while not self._announcements and not self._is_closed:
            self._wake_up.clear()
            await self._wake_up.wait()
        return self._announcements.popleft() if self._announcements else None

    async def drain(self, timeout_s: float) -> None:
        """Wait for pending queries; after `timeout_s` the remaining ones fail with Draining."""
        if self._queries:
            await asyncio.wait(list(self._queries.values()), timeout=timeout_s)
        self._fail_all(Draining)
        self.frames.close()

    def abort(self) -> None:
        self.frames.abort()
        self._on_end()

    def _send(self, message: ClientMessage) -> None:
        self.frames.send(encoder.encode(message))

    def _on_message(self, data: bytes) -> None:
        message = server_message_decoder.decode(data)
        # Queries that have passed their deadline are no longer here, but the process answers those that came after.
        self.waiting_since = time.monotonic() if self._queries else None
        if isinstance(message, Announcement):
            self.frames.pause()
            self._announcements.append(message)
            self._wake_up.set()
        elif isinstance(message, QueryResult):
            self.model_problem = None
            # The waiter is gone if the deadline has passed or the caller has disconnected.
            if (waiter := self._queries.get(message.number)) is not None and not waiter.done():
                catalogue = self._find_catalogue(message.version)
                if catalogue is None:
                    waiter.set_exception(ModelUnavailable(f"the catalogue of version {message.version} is not loaded"))
                else:
                    waiter.set_result(decode_result(message, catalogue))
        elif isinstance(message, ErrorResult):
            error = decode_error(message)
            if isinstance(error, ModelUnavailable) and message.number not in self._activations:
                self.model_problem = error.detail
            _fail(self._queries.get(message.number), error)
            _fail(self._activations.get(message.number), error)
        elif (activation := self._activations.get(message.number)) is not None and not activation.done():
            activation.set_result(message.outcome)

    def _expire(self, number: int) -> None:
        """Fail a query at its deadline; the model process, whose timer has the same duration, counts it."""
        _fail(self._queries.get(number), DeadlineExceeded("model: the deadline passed"))

    def _on_end(self) -> None:
        self._is_closed = True
        self._wake_up.set()
        self._fail_all(partial(ModelUnavailable, PROCESS_ENDED))

    def _fail_all(self, make_error: Callable[[], Exception]) -> None:
        waiters: list[asyncio.Future[Any]] = [*self._queries.values(), *self._activations.values()]
        for waiter in waiters:
            _fail(waiter, make_error())


def _fail(waiter: asyncio.Future[Any] | None, error: Exception) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_exception(error)
