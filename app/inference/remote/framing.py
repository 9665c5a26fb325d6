"""Messages over a stream socket, each prefixed with its length in four bytes; both ends use it.

An asyncio protocol instead of asyncio's streams: receiving a message costs one call and no task.
"""

import asyncio
from collections.abc import Callable
from typing import cast

LENGTH_BYTES = 4
MAX_MESSAGE_BYTES = 1 << 26
"""Limit of one message; the keys of the longest request take a hundredth of it."""
WRITE_HIGH_WATER_BYTES = 1 << 23
"""Write-buffer high-water mark; above it the peer is considered stalled."""


class FramedConnection(asyncio.Protocol):
    """One connection: `on_open` is called first, `on_message` per message, `on_end` last."""

    def __init__(
        self,
        on_message: Callable[[bytes], None],
        on_end: Callable[[], None],
        on_open: Callable[[], None] = lambda: None,
    ) -> None:
        self._on_message = on_message
        self._on_end = on_end
        self._on_open = on_open
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._is_paused = False
        self.is_backpressured = False
        """Whether more is unsent than the peer will soon read."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=WRITE_HIGH_WATER_BYTES)
        self._on_open()

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - every cause is handled the same
        self._transport = None
        self._on_end()

    def pause_writing(self) -> None:
        self.is_backpressured = True

    def resume_writing(self) -> None:
        self.is_backpressured = False

    def send(self, message: bytes) -> None:
        """Send a message; does nothing on a connection that has ended. ValueError if the message is too long."""
        if len(message) > MAX_MESSAGE_BYTES:
            raise ValueError(f"a message must have at most {MAX_MESSAGE_BYTES:,} bytes (got {len(message):,})")
        if self._transport is not None:
            self._transport.write(len(message).to_bytes(LENGTH_BYTES, "little") + message)

    def pause(self) -> None:
        """Deliver no message until `resume`."""
        self._is_paused = True
        if self._transport is not None:
            self._transport.pause_reading()

    def resume(self) -> None:
        self._is_paused = False
        if self._transport is not None:
            self._transport.resume_reading()
            self.data_received(b"")

    def abort(self) -> None:
        """Close immediately and discard unsent messages."""
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        """Close after unsent messages are written."""
        if self._transport is not None:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        data = self._buffer + data if self._buffer else data
        position, size = 0, len(data)
        while not self._is_paused and size - position >= LENGTH_BYTES:
            start = position + LENGTH_BYTES
            length = int.from_bytes(data[position:start], "little")
            if length > MAX_MESSAGE_BYTES:
                self._buffer = b""
                self.abort()
                return
            if size - start < length:
                break
            position = start + length
            self._on_message(data[start:position])
        self._buffer = data[position:]
