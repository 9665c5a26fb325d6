"""One keep-alive connection in a closed loop: as soon as an answer is there, the next request goes out.

A bare asyncio protocol with the HTTP parser that uvicorn uses, for a request must cost the generator much less than
the server. Knows when to send and what an answer is. Who reconnects, and when a round begins, is the generator's.
"""

import asyncio
from collections.abc import Iterator
from time import perf_counter
from typing import cast

from httptools import HttpParserError, HttpResponseParser

from app.bench.recorder import OK, Recorder

SAMPLE_EVERY = 10
"""One body in so many is kept and parsed."""
LARGEST_SAMPLE = 1 << 20  # bytes


class Connection(asyncio.Protocol):
    def __init__(self, requests: Iterator[bytes], recorder: Recorder) -> None:
        self.closed = asyncio.get_running_loop().create_future()
        """Done when the connection is closed, by whichever side."""
        self.sent_at: float | None = None
        """When the request that is under way was sent; None if there is none."""
        self._requests = requests
        self._recorder = recorder
        self._parser = HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._sent = 0
        self._sample: bytearray | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one too, but not by inheritance
        self._send(perf_counter())

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except HttpParserError:
            self.give_up("malformed")

    def connection_lost(self, _: Exception | None) -> None:
        if self.sent_at is not None:
            self._recorder.failure(perf_counter(), "disconnected")
            self.sent_at = None
        if not self.closed.done():
            self.closed.set_result(None)

    def give_up(self, kind: str) -> None:
        """Close at once; the request that is under way has failed."""
        assert self._transport is not None, "only a connection that was made can fail"
        if self.sent_at is not None:
            self._recorder.failure(perf_counter(), kind)
            self.sent_at = None
        self._transport.abort()

    def on_body(self, body: bytes) -> None:
        if self._sample is not None and len(self._sample) < LARGEST_SAMPLE:
            self._sample += body

    def on_message_complete(self) -> None:
        assert self._transport is not None, "data comes after the connection was made"
        if self.sent_at is None:
            return  # an answer nobody asked for; the next one would be taken for ours
        now = perf_counter()
        status = self._parser.get_status_code()
        self._recorder.answer(self.sent_at, now, status)
        self.sent_at = None
        if self._sample is not None and status == OK:
            self._recorder.sample(now, bytes(self._sample))
            now = perf_counter()  # reading the sample is not the server's time
        if now < self._recorder.closes_at and self._parser.should_keep_alive():
            self._send(now)
        else:
            self._transport.close()

    def _send(self, now: float) -> None:
        assert self._transport is not None, "sends after the connection was made"
        self._sample = bytearray() if self._sent % SAMPLE_EVERY == 0 else None
        self._sent += 1
        self.sent_at = now
        self._transport.write(next(self._requests))
