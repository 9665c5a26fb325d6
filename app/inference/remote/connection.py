"""One connection to the model's process, seen from an HTTP worker: who waits for what, and until when.

Every query has a number, a future and a timer. It is forgotten when it is answered, when its time is up, when its
caller leaves and when the connection ends, whichever comes first. It knows no file and does not connect by itself.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Any

from app.errors import DeadlineExceeded, Draining, ModelUnavailable, Overloaded
from app.inference.query import Query, SimilarQuery, TopItems
from app.inference.remote.framing import FramedConnection
from app.inference.remote.protocol import (
    ActivateRequest,
    CancelRequest,
    ClientMessage,
    ErrorResult,
    QueryResult,
    VersionAnnouncement,
    decode_error,
    decode_result,
    encode_query,
    encoder,
    server_message_decoder,
)
from app.telemetry.metrics import BatchMetrics
from models.catalogue.catalogue import Catalogue

AWAY = "the model's process ended"


class ModelConnection:
    """`catalogue_of` a version that an answer names; `max_pending` queries may wait."""

    def __init__(self, catalogue_of: Callable[[str], Catalogue | None], *, max_pending: int) -> None:
        self._catalogue_of = catalogue_of
        self._most = max_pending
        self._numbers = count()
        self._queries: dict[int, asyncio.Future[TopItems]] = {}
        self._wishes: dict[int, asyncio.Future[str]] = {}
        self._servings: deque[VersionAnnouncement] = deque()
        self._news = asyncio.Event()
        self._ended = False
        self._metrics = BatchMetrics()
        self.frames = FramedConnection(self._arrived, self._lost)

    @property
    def pending_count(self) -> int:
        """Queries without an answer."""
        return len(self._queries)

    async def find_top_items(self, query: Query | SimilarQuery, deadline: float) -> TopItems:
        """As Engine.top. What is refused here never reaches the other process, which counts what it refuses itself."""
        loop = asyncio.get_running_loop()
        if self._ended:
            raise ModelUnavailable(AWAY)
        if loop.time() >= deadline:
            self._metrics.on_rejected("deadline")
            raise DeadlineExceeded("model: the deadline passed")
        if len(self._queries) >= self._most or self.frames.is_backpressured:
            self._metrics.on_rejected("overloaded")
            raise Overloaded(f"model: {len(self._queries)} of this worker already wait")
        number = next(self._numbers)
        self._say(encode_query(number, query, deadline))
        waiter: asyncio.Future[TopItems] = loop.create_future()
        self._queries[number] = waiter
        timer = loop.call_at(deadline, self._expire, number)
        try:
            return await waiter
        except asyncio.CancelledError:
            self._say(CancelRequest(number))
            raise
        finally:
            timer.cancel()
            self._queries.pop(number, None)

    async def activate(self, version: str) -> str:
        """The version that served before. No deadline: a large one takes its time to load, and the caller may leave."""
        if self._ended:
            raise ModelUnavailable(AWAY)
        number = next(self._numbers)
        self._say(ActivateRequest(number, version))
        waiter: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._wishes[number] = waiter
        try:
            return await waiter
        finally:
            self._wishes.pop(number, None)

    async def wait_for_announcement(self) -> VersionAnnouncement | None:
        """What the other process says that it serves; messages are held from then until `frames.resume`. None when
        the connection has ended.
        """
        while not self._servings and not self._ended:
            self._news.clear()
            await self._news.wait()
        return self._servings.popleft() if self._servings else None

    async def drain(self, timeout_s: float) -> None:
        """Until what waits is answered; after `timeout_s` the rest fails with Draining."""
        if self._queries:
            await asyncio.wait(list(self._queries.values()), timeout=timeout_s)
        self._fail_all(Draining)
        self.frames.end()

    def close(self) -> None:
        self.frames.close()
        self._lost()

    def _say(self, decode_query: ClientMessage) -> None:
        self.frames.send(encoder.encode(decode_query))

    def _arrived(self, message: bytes) -> None:
        said = server_message_decoder.decode(message)
        if isinstance(said, VersionAnnouncement):
            self.frames.pause()
            self._servings.append(said)
            self._news.set()
        elif isinstance(said, QueryResult):
            # Nobody waits any more for the answer to a query that was late or whose caller left.
            if (waiter := self._queries.get(said.number)) is not None and not waiter.done():
                catalogue = self._catalogue_of(said.version)
                if catalogue is None:
                    waiter.set_exception(ModelUnavailable(f"the catalogue of version {said.version} is gone"))
                else:
                    waiter.set_result(decode_result(said, catalogue))
        elif isinstance(said, ErrorResult):
            _fail(self._queries.get(said.number), decode_error(said))
            _fail(self._wishes.get(said.number), decode_error(said))
        elif (wisher := self._wishes.get(said.number)) is not None and not wisher.done():
            wisher.set_result(said.before)

    def _expire(self, number: int) -> None:
        """The other process counts it: its own timer runs as long."""
        _fail(self._queries.get(number), DeadlineExceeded("model: the deadline passed"))

    def _lost(self) -> None:
        self._ended = True
        self._news.set()
        self._fail_all(partial(ModelUnavailable, AWAY))

    def _fail_all(self, error: Callable[[], Exception]) -> None:
        waiting: list[asyncio.Future[Any]] = [*self._queries.values(), *self._wishes.values()]
        for waiter in waiting:
            _fail(waiter, error())


def _fail(waiter: asyncio.Future[Any] | None, error: Exception) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_exception(error)
