"""One keep-alive connection: as soon as an answer is there, the next request goes out, if one is due.

A bare asyncio protocol with the HTTP parser that uvicorn uses, for a request must cost the generator much less than
the server. Knows how to send and what an answer is. When a request is due is said by `arrivals.py`; who reconnects,
and when a round begins, is the generator's.
"""

import asyncio
from time import perf_counter
from typing import cast

from httptools import HttpParserError, HttpResponseParser

from app.bench.load.arrivals import ArrivalProcess, ScheduledRequest
from app.bench.load.recorder import OK, LatencyRecorder

LARGEST_SAMPLE = 1 << 20  # bytes


class LoadConnection(asyncio.Protocol):
    def __init__(self, arrivals: ArrivalProcess, recorder: LatencyRecorder) -> None:
        self.closed = asyncio.get_running_loop().create_future()
        """Done when the connection is closed, by whichever side."""
        self.sent_at: float | None = None
        """When the request that is under way was sent; None if there is none."""
        self._arrivals = arrivals
        self._recorder = recorder
        self._parser = HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._due: ScheduledRequest | None = None
        self._sample: bytearray | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one too, but not by inheritance
        self._next(perf_counter())

    def wake(self) -> None:
        """A request is due; called while no other is under way."""
        self._next(perf_counter())

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except HttpParserError:
            self.abort("malformed")

    def connection_lost(self, _: Exception | None) -> None:
        if self.sent_at is not None:
            self._recorder.record_failure(perf_counter(), "disconnected")
            self.sent_at = None
        if not self.closed.done():
            self.closed.set_result(None)

    def abort(self, kind: str) -> None:
        """Close at once; the request that is under way has failed."""
        assert self._transport is not None, "only a connection that was made can fail"
        if self.sent_at is not None:
            self._recorder.record_failure(perf_counter(), kind)
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
        assert self._due is not None, "what was sent was due"
        self._recorder.record_response(self._due.scheduled_at, now, status, self._due.request.is_write)
        self.sent_at = None
        if self._sample is not None and status == OK:
            self._recorder.record_sample(now, bytes(self._sample))
            now = perf_counter()  # reading the sample is not the server's time
        if self._parser.should_keep_alive():
            self._next(now)
        else:
            self._transport.close()

    def _next(self, now: float) -> None:
        assert self._transport is not None, "sends after the connection was made"
        self._due = self._arrivals.next_request(self, now)
        if self._due is None:
            if self._arrivals.is_finished(now):
                self._transport.close()
            return
        self._sample = bytearray() if not self._due.request.is_write and self._recorder.should_sample() else None
        self.sent_at = now
        self._transport.write(self._due.request.content)
