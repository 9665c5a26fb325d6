"""One keep-alive HTTP connection of the load generator.

A bare asyncio protocol with uvicorn's HTTP parser, because a request must cost the generator much less CPU than the
server. It sends its next scheduled request as soon as the response to the previous one is complete; the generator
reconnects.
"""

import asyncio
from time import perf_counter
from typing import cast

from httptools import HttpParserError, HttpResponseParser

from app.bench.load.arrivals import ArrivalProcess, ScheduledRequest
from app.bench.load.recorder import OK, LatencyRecorder

MAX_SAMPLE_BYTES = 1 << 20


class LoadConnection(asyncio.Protocol):
    def __init__(self, arrivals: ArrivalProcess, recorder: LatencyRecorder) -> None:
        self.closed = asyncio.get_running_loop().create_future()
        """Resolves when either side has closed the connection."""
        self.sent_at: float | None = None
        """Send time of the request in flight; None if there is none."""
        self._arrivals = arrivals
        self._recorder = recorder
        self._parser = HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._scheduled: ScheduledRequest | None = None
        self._sample: bytearray | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's has the methods but not the base class
        self._send_next(perf_counter())

    def wake(self) -> None:
        """Send a request that has become due; only called while none is in flight."""
        self._send_next(perf_counter())

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except HttpParserError:
            self.abort("malformed")

    def connection_lost(self, _: Exception | None) -> None:
        self._fail_in_flight("disconnected")
        if not self.closed.done():
            self.closed.set_result(None)

    def abort(self, kind: str) -> None:
        """Close immediately and record the request in flight as a failure of this kind."""
        assert self._transport is not None, "only a connected transport can fail"
        self._fail_in_flight(kind)
        self._transport.abort()

    def on_body(self, body: bytes) -> None:
        if self._sample is not None and len(self._sample) < MAX_SAMPLE_BYTES:
            self._sample += body

    def on_message_complete(self) -> None:
        assert self._transport is not None, "data arrives after the connection was made"
        if self.sent_at is None:
            return  # an unsolicited response; the next one would be attributed to our request
        now = perf_counter()
        status = self._parser.get_status_code()
        assert self._scheduled is not None, "every request that is sent was scheduled"
        self._recorder.record_response(self._scheduled.scheduled_at, now, status, self._scheduled.request.is_write)
        self.sent_at = None
        if self._sample is not None and status == OK:
            self._recorder.record_sample(now, bytes(self._sample), now - self._scheduled.scheduled_at)
            now = perf_counter()  # parsing the sample is not the server's time
        if self._parser.should_keep_alive():
            self._send_next(now)
        else:
            self._transport.close()

    def _fail_in_flight(self, kind: str) -> None:
        if self.sent_at is not None:
            self._recorder.record_failure(perf_counter(), kind)
            self.sent_at = None

    def _send_next(self, now: float) -> None:
        assert self._transport is not None, "requests are sent after the connection was made"
        self._scheduled = self._arrivals.next_request(self, now)
        if self._scheduled is None:
            if self._arrivals.is_finished(now):
                self._transport.close()
            return
        request = self._scheduled.request
        self._sample = bytearray() if not request.is_write and self._recorder.should_sample() else None
        self.sent_at = now
        self._transport.write(request.content)
