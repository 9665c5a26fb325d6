"""uvicorn's HTTP protocols, bounded in what a client may send before any key is checked.

The size of the line and the headers is checked before the bytes are parsed, because the parser joins the parts of a
header quadratically. The same bound covers the fields after a chunked body and the extensions of chunks. Every request
carries the time of its first byte to the application, which counts its deadline from there.
"""

import logging
import sys
import traceback
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from app.errors import HeadTooLarge, TooManyRequests
from app.http.bounded_protocol import BODY, CLOSING, HEAD, IDLE, BoundedProtocol
from app.http.raw_responses import CLOSE_HEADER

MAX_PIPELINED = 100
"""Most requests of one connection that wait for the answer to an earlier one."""

# Clients decide how often uvicorn warns: once per malformed request, twice per request for an upgrade. The log of
# rejections has the first, and the second is answered as usual.
ERROR_LOG = logging.getLogger("uvicorn.error.h11")
ERROR_LOG.addFilter(lambda record: record.levelno >= logging.ERROR)


class BoundedH11Protocol(BoundedProtocol, H11Protocol):
    """uvicorn's parser in Python; it bounds the size of the head itself (`build_server_options`)."""

    def __init__(self, config: Any, server_state: Any, app_state: Any, _loop: Any = None) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.logger = ERROR_LOG
        self.set_up(app_state, self.loop)

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.admit()

    def connection_lost(self, exc: Exception | None) -> None:
        self.release()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._phase == CLOSING:
            return
        if self._phase == IDLE:
            self._phase, self._since = HEAD, self._clock()
        super().data_received(data)

    def handle_events(self) -> None:
        super().handle_events()
        if self._phase == CLOSING:
            return
        if self.scope is not None:
            self._note_request(self.scope["state"])
        state = self.conn.their_state
        if state is h11.SEND_BODY:
            self._phase = BODY
        elif state is not h11.IDLE or not self.conn.trailing_data[0]:
            self._begin_wait()

    def send_400_response(self, msg: str) -> None:
        super().send_400_response(msg)
        if error := sys.exception():  # that of the parser is in a cycle with its frame, which keeps the bytes
            traceback.clear_frames(error.__traceback__)

    def on_response_complete(self) -> None:
        """Do what uvicorn does, but without its timer, as the other parser."""
        super().on_response_complete()
        self._unset_keepalive_if_required()
        if self._phase == IDLE:
            self._begin_wait()


try:
    import httptools
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
except ImportError:  # a platform without httptools
    PROTOCOL: type = BoundedH11Protocol
else:

    class BoundedHttpToolsProtocol(BoundedProtocol, HttpToolsProtocol):
        """uvicorn's parser in C; a class of this module, because worker processes receive it pickled.

        `_unparsed` counts the bytes since the last part of a body or the end of a request. With slots, the
        dictionary has at most 30 names, whose values CPython stores without a hash table: 1.3 kB less per connection.
        """

        __slots__ = (
            "_body_timeout_s",
            "_clock",
            "_earlier_cycles",
            "_guard",
            "_head_timeout_s",
            "_idle_timeout_s",
            "_max_head",
            "_phase",
            "_presence",
            "_since",
            "_stalled_since",
            "_unparsed",
            "is_reserved",
        )

        def __init__(self, config: Any, server_state: Any, app_state: Any, _loop: Any = None) -> None:
            super().__init__(config, server_state, app_state, _loop)
            self.set_up(app_state, self.loop)
            self._max_head = self._guard.settings.max_head_bytes
            self._unparsed = 0
            self._earlier_cycles: list[Any] = []

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self.admit()

        def connection_lost(self, exc: Exception | None) -> None:
            self.release()
            for cycle in self._earlier_cycles:  # uvicorn marks only the last one
                cycle.disconnected = True
                cycle.message_event.set()
            super().connection_lost(exc)
            for cycle, _ in self.pipeline:
                cycle.on_response = None  # a method of this protocol: a cycle that keeps the body
            self.pipeline.clear()
            self._earlier_cycles.clear()

        def data_received(self, data: bytes) -> None:
            if self._phase == IDLE and not self._is_answering and self._refuse_quickly(data):
                return
            if self._phase == IDLE:
                self._phase, self._since = HEAD, self._clock()
            elif self._phase == CLOSING:
                return
            self._unparsed += len(data)
            if self._unparsed <= self._max_head:
                self._parse(data)
            else:
                self._parse_parts(data)

        @property
        def _is_draining(self) -> bool:
            """Whether responses ask the client to close the connection."""
            return CLOSE_HEADER in self.server_state.default_headers

        def _refuse_quickly(self, data: bytes) -> bool:
            """Answer an idle connection's request without parsing it if the process is overloaded."""
            response = self._guard.gate.refuse(data, len(self.tasks))
            if response is None or self.is_reserved or self.flow.write_paused or self._is_draining:
                return False
            self.transport.write(response)
            self._since = self._clock()
            return True

        def _parse_parts(self, data: bytes) -> None:
            """Parse what fits into the bound of the head; reject the request unless that completes its head."""
            self._unparsed -= len(data)
            start = 0
            while start < len(data) and self._phase != CLOSING:
                room = self._max_head - self._unparsed
                if room <= 0:
                    limit = f"must not exceed {self._max_head} bytes (NEXTUP_MAX_HEAD_BYTES)"
                    self.reject("head_size", HeadTooLarge(f"the line and the headers of a request {limit}"))
                    return
                part = data[start : start + room]
                start += room
                self._unparsed += len(part)
                self._parse(part)

        def _parse(self, data: bytes) -> None:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade:
                pass  # the service has no other protocol; the request is answered as usual
            except httptools.HttpParserError:
                if len(self.pipeline) >= MAX_PIPELINED:
                    detail = f"more than {MAX_PIPELINED} requests wait on one connection; send fewer before an answer"
                    self.reject("pipeline", TooManyRequests(detail))
                else:
                    self.send_400_response("")

        def on_message_begin(self) -> None:
            super().on_message_begin()
            if self._phase == IDLE:  # the same bytes contained the end of the request before it
                self._phase, self._since = HEAD, self._clock()
            self._note_request(self.scope["state"])

        def on_headers_complete(self) -> None:
            if len(self.pipeline) >= MAX_PIPELINED:
                raise ValueError("ends the parser")
            if self._is_answering:
                self._earlier_cycles = [cycle for cycle in self._earlier_cycles if not cycle.response_complete]
                self._earlier_cycles.append(self.cycle)
            self._phase = BODY
            super().on_headers_complete()

        def on_response_complete(self) -> None:
            """Do what uvicorn does, but without a timer: the sweep of all connections closes idle ones."""
            self.server_state.total_requests += 1
            if self.transport.is_closing():
                return
            if self._phase == IDLE:
                self._begin_wait()
            self.flow.resume_reading()
            if self.pipeline:
                cycle, app = self.pipeline.pop()
                self._start_asgi_task(cycle, app)

        def forget_newest_request(self) -> None:
            self.pipeline.popleft()
            self.cycle = self._earlier_cycles.pop()

        def on_body(self, body: bytes) -> None:
            self._unparsed = 0
            super().on_body(body)

        def on_message_complete(self) -> None:
            self._unparsed = 0
            self._begin_wait()
            super().on_message_complete()

    PROTOCOL = BoundedHttpToolsProtocol
