"""uvicorn's server without a listener: connections arrive on the channel, and a drain drops no request.

When a drain begins, /readyz answers 503 and every response says `Connection: close`, so that clients move on between
two requests. After the last connection has arrived, those that are idle are closed, but only when they have been idle
for a moment: the next request of a busy client may already be on its way.
"""

import asyncio
import logging
import signal
import socket
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import uvicorn

from app.http.raw_responses import CLOSE_HEADER
from app.runtime import channel as channels
from app.runtime.watchdog import Watchdog, exit_without_waiting
from app.settings import Settings

log = logging.getLogger("nextup")

END_MARGIN_S = 1.0
"""Time after the drain to close resources; then the watchdog ends the process."""
IDLE_GRACE_S = 0.5
STEER_S = 0.5
POLL_S = 0.02
LAST_CONNECTION_S = 1.0
"""Longest wait for the supervisor to confirm that no connection follows."""


class WorkerServer(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, settings: Settings, channel: socket.socket, watchdog: Watchdog) -> None:
        super().__init__(config)
        self._settings = settings
        self._channel = channel
        self._watchdog = watchdog
        self._has_last_connection = asyncio.Event()
        self._noticed_at: float | None = None
        self._openings: set[asyncio.Task[None]] = set()
        self._unconfirmed: deque[socket.socket | None] = deque()
        self._has_supervisor = True

    async def serve_and_exit(self) -> None:
        """Serve until a drain ends, then exit without waiting for threads."""
        await self.serve()
        exit_without_waiting(0)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Drain on SIGTERM, which also arrives when the supervisor is killed; the supervisor handles Ctrl-C."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._on_signal)
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: ARG002 - there are none
        await super().startup(sockets=[])
        asyncio.get_running_loop().add_reader(self._channel, self._on_messages)
        engine: Any = self.lifespan.state["engine"]
        is_local = self._settings.model_process != "dedicated"
        self._watchdog.watch((lambda: engine.stalled_s) if is_local else None)
        if is_local and self._settings.worker_count > 1:
            self._steer_clients(engine)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: ARG002
        """Answer all requests that arrive on open connections, close resources, within `drain_s` and a margin."""
        loop = asyncio.get_running_loop()
        deadline = self._notice() + self._settings.drain_s
        self._watchdog.end_within(max(0.0, deadline - loop.time()) + END_MARGIN_S)
        channels.send(self._channel, channels.DRAINING)
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_CONNECTION_S):
                await self._has_last_connection.wait()
        while (self.server_state.connections or self._openings or self._unconfirmed) and loop.time() < deadline:
            self._close_idle(loop.time())
            await asyncio.sleep(POLL_S)
        if tasks := list(self.server_state.tasks):
            log.error(
                "%d requests did not end within NEXTUP_DRAIN_S=%g and are cancelled", len(tasks), self._settings.drain_s
            )
        for task in tasks:
            task.cancel()
        await self.lifespan.shutdown()

    def _on_signal(self) -> None:
        self.should_exit = True

    def _notice(self) -> float:
        """Let readiness and all responses, also those that are being computed, say that the worker will stop.

        Returns when that began, by the event loop's clock: the drain counts from there.
        """
        if self._noticed_at is not None:
            return self._noticed_at
        self._noticed_at = asyncio.get_running_loop().time()
        self.lifespan.state["health_monitor"].draining = True
        self._close_after_responses(enabled=True)
        return self._noticed_at

    def _steer_clients(self, engine: Any) -> None:
        """While the model of this worker hangs, let its clients connect again: other workers take new connections."""
        self._close_after_responses(enabled=engine.unavailable_reason is not None or self._noticed_at is not None)
        asyncio.get_running_loop().call_later(STEER_S, self._steer_clients, engine)

    def _close_after_responses(self, *, enabled: bool) -> None:
        """Let all responses, also those that are being computed, say whether their connection is closed."""
        # uvicorn builds the default headers from the encoded ones every second
        for headers in (self.config.encoded_headers, self.server_state.default_headers):
            if enabled and CLOSE_HEADER not in headers:
                headers.append(CLOSE_HEADER)
            elif not enabled and CLOSE_HEADER in headers:
                headers.remove(CLOSE_HEADER)

    def _on_messages(self) -> None:
        for _ in range(channels.MAX_MESSAGES):
            try:
                message, connection = channels.receive(self._channel)
            except BlockingIOError:
                break
            if message == channels.CONNECTION:
                self._unconfirmed.append(connection)
            elif message == channels.NOTICE:
                self._notice()
            elif message in (channels.DRAIN, b""):
                asyncio.get_running_loop().remove_reader(self._channel)
                self._has_supervisor = message == channels.DRAIN
                self._has_last_connection.set()
                self.should_exit = True
                break
        self._confirm()

    def _confirm(self) -> None:
        """Open connections, each after a message with which the supervisor gives up its copy."""
        while self._unconfirmed:
            connection = self._unconfirmed[0]
            message = channels.RETURNED if connection is None else channels.CONFIRMED
            if not channels.send(self._channel, message) and self._has_supervisor:  # it does not read at the moment
                asyncio.get_running_loop().call_later(POLL_S, self._confirm)
                return
            self._unconfirmed.popleft()
            if connection is not None:
                self._open(connection)

    def _open(self, connection: socket.socket) -> None:
        opening = asyncio.get_running_loop().create_task(self._serve_connection(connection))
        self._openings.add(opening)
        opening.add_done_callback(self._openings.discard)

    async def _serve_connection(self, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        connection.setblocking(False)
        try:
            await loop.connect_accepted_socket(self._make_protocol, connection)
        except OSError:  # the client has closed it already
            connection.close()

    def _make_protocol(self) -> asyncio.Protocol:
        protocol: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
            _loop=asyncio.get_running_loop(),
        )
        return protocol

    def _close_idle(self, now: float) -> None:
        connections: list[Any] = list(self.server_state.connections)
        for connection in connections:
            idle_s = connection.get_idle_s(now)
            if idle_s is not None and idle_s >= IDLE_GRACE_S:
                connection.shutdown()
