"""The clocks of one connection, and answers that are sent without the application; for both parsers of uvicorn.

The head and the body of a request have a time each, counted from its first byte, and so has the client to take the
answer. A rejected connection is half closed and reset a little later: a reset would reach the client before the answer.
"""

import asyncio
from typing import Any

from starlette.responses import Response

from app.errors import RequestTimeout, ServiceError
from app.http.client_presence import STATE_KEY, ClientPresence
from app.http.connections import ALL_TAKEN, LINGER_S, RESERVE_WAIT_S, ConnectionGuard, build_reserved_app
from app.http.problems import build_error_response, build_problem
from app.http.raw_responses import CLOSE_HEADER, encode_raw_response
from app.runtime.random_ids import generate_id
from app.telemetry.rejections import LOCAL_SOCKET

NOT_HTTP = "the request is not valid HTTP/1.1; the connection is closed"

IDLE, HEAD, BODY, CLOSING = range(4)
"""Phases of a connection: it waits for the first byte of a request, the end of its head or body, or its own end."""


class BoundedProtocol:
    """Base of a protocol of uvicorn: it maintains `_phase`, and `_since`, the time of the first byte of a request.

    While `_is_answering`, the connection waits for the application rather than for its client.
    """

    transport: Any
    cycle: Any
    flow: Any
    app: Any
    pipeline: Any = ()
    client: Any

    def set_up(self, app_state: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._guard: ConnectionGuard = app_state["connections"]
        self._phase = IDLE
        self._stalled_since: float | None = None
        self.is_reserved = False
        settings = self._guard.settings
        self._head_timeout_s, self._body_timeout_s = settings.head_timeout_s, settings.body_timeout_s
        self._idle_timeout_s = settings.keep_alive_s
        self._clock = loop.time
        self._since = self._clock()
        self._presence = ClientPresence()

    def admit(self) -> None:
        if not self._guard.admit(self):
            self._report("connections", ALL_TAKEN)
            self.transport.abort()
        elif self.is_reserved:
            self.app = build_reserved_app(self.app, self._guard.settings.root_path)
            self._report("connections", ALL_TAKEN)
            self._head_timeout_s = self._idle_timeout_s = RESERVE_WAIT_S

    def release(self) -> None:
        self._guard.release(self)
        self._presence.leave()

    def _note_request(self, state: dict[str, Any]) -> None:
        """Add the time of its first byte and the presence of its client to the state of a new request."""
        state.setdefault("received_at", self._since)
        state[STATE_KEY] = self._presence

    @property
    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _begin_wait(self) -> None:
        """Wait for the next request: from now, or from the answer to the last one, which may come before its end."""
        self._phase = IDLE
        if not self._is_answering:
            self._since = self._clock()

    def get_wait_start(self) -> float | None:
        """Since when the connection waits for its client; None while a request is being answered."""
        return None if self._is_answering and self._phase not in (BODY, CLOSING) else self._since

    def get_idle_s(self, now: float) -> float | None:
        """Return the seconds without a request; None while one is received or answered."""
        return None if self._phase != IDLE or self._is_answering else now - self._since

    def make_room(self) -> None:
        """Close the connection immediately in favor of another one."""
        self._report("connections", f"{ALL_TAKEN}; connections that wait for their client were closed")
        self._disconnect()
        self.transport.abort()

    def check_time(self, now: float) -> None:
        """Close the connection if it waits for longer than its settings allow."""
        waited_s = now - self._since
        if self._phase == HEAD and waited_s > self._head_timeout_s and not self._is_answering:
            self._time_out("head_time", f"the headers of a request took more than {self._head_timeout_s:g} s")
        elif self._phase == BODY and waited_s > self._body_timeout_s:
            self._time_out("body_time", f"a request took more than {self._body_timeout_s:g} s to arrive")
        elif self._phase == CLOSING and waited_s > LINGER_S and not self._is_answering:
            self.transport.abort()
        elif self._phase == IDLE and not self._is_answering:
            if self.transport.get_write_buffer_size():  # the client still takes the answer
                self._since = now
            elif waited_s > self._idle_timeout_s:
                self.transport.close()
        self._check_reader(now)

    def _check_reader(self, now: float) -> None:
        """Reset the connection if its client does not take the answer."""
        if not self.transport.get_write_buffer_size():
            self._stalled_since = None
        elif self._stalled_since is None:
            self._stalled_since = now
        elif now - self._stalled_since > self._body_timeout_s:
            self._report("slow_reader", f"an answer was not taken within {self._body_timeout_s:g} s")
            self._disconnect()
            self.transport.abort()

    def _time_out(self, reason: str, cause: str) -> None:
        self._report(reason, cause)
        self._refuse(build_error_response(RequestTimeout(f"{cause}; the connection is closed"), generate_id()))

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - the same text for every fault
        """Answer a request that the parser rejects like every other error."""
        self._report("malformed", NOT_HTTP)
        self._refuse(build_problem(400, "Bad request", NOT_HTTP, generate_id()))

    def reject(self, reason: str, error: ServiceError) -> None:
        self._report(reason, error.detail)
        self._refuse(build_error_response(error, generate_id()))

    def _refuse(self, response: Response) -> None:
        """Send a response without the application and stop reading; behind answers that are due, only stop."""
        is_behind = self._phase == BODY and bool(self.pipeline)
        if is_behind:
            self.forget_newest_request()
        must_wait = self._is_answering and (is_behind or self._phase != BODY or self.cycle.response_started)
        is_answered = self._phase == BODY and not self._is_answering
        self._phase, self._since = CLOSING, self._clock()
        if must_wait:
            self.cycle.keep_alive = False
            return
        self._disconnect()
        if not is_answered:
            self.transport.write(encode_raw_response(response, CLOSE_HEADER))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        else:
            self.transport.close()

    def forget_newest_request(self) -> None:
        """Take the request whose body is arriving out of the pipeline: it would wait for its end for ever."""
        raise NotImplementedError("this parser reads no request before the one in front is answered")

    def _disconnect(self) -> None:
        """Let the application see that its client has left."""
        if self._is_answering:
            self.cycle.disconnected = True
            self.cycle.waiting_for_100_continue = False  # nothing can be written behind the end of the stream
            self.cycle.message_event.set()
            self._presence.leave()

    def _report(self, reason: str, detail: str) -> None:
        client = self.client[0] if self.client else LOCAL_SOCKET
        self._guard.rejections.report(reason, detail, client)
