"""Messages over a stream: four bytes that say how long one is, then the message. Both ends use it.

A protocol and not asyncio's streams: a message costs one call and no task (DECISIONS.md). It knows no message.
"""

import asyncio
from collections.abc import Callable
from typing import cast

LENGTH_BYTES = 4
MAX_MESSAGE_BYTES = 1 << 26
"""Of a message; keys of the longest request take a hundredth of it."""
WRITE_HIGH_WATER_BYTES = 1 << 23
"""From here on the other end counts as not reading."""


class FramedConnection(asyncio.Protocol):
    """One connection. `arrived` gets each message; `opened` and `ended` are called once, before and after all."""

    def __init__(
        self, arrived: Callable[[bytes], None], ended: Callable[[], None], opened: Callable[[], None] = lambda: None
    ) -> None:
        self._arrived = arrived
        self._ended = ended
        self._opened = opened
        self._transport: asyncio.Transport | None = None
        self._unread = b""
        self._held = False
        self.is_backpressured = False
        """More is unsent than the other end will soon read."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=WRITE_HIGH_WATER_BYTES)
        self._opened()

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - why does not matter to who asked
        self._transport = None
        self._ended()

    def pause_writing(self) -> None:
        self.is_backpressured = True

    def resume_writing(self) -> None:
        self.is_backpressured = False

    def send(self, message: bytes) -> None:
        """Nothing happens on a connection that has ended; ValueError for a message that is too long."""
        if len(message) > MAX_MESSAGE_BYTES:
            raise ValueError(f"a message of {len(message)} bytes; {MAX_MESSAGE_BYTES} are the most")
        if self._transport is not None:
            self._transport.write(len(message).to_bytes(LENGTH_BYTES, "little") + message)

    def pause(self) -> None:
        """No message is given on until `resume`."""
        self._held = True
        if self._transport is not None:
            self._transport.pause_reading()

    def resume(self) -> None:
        self._held = False
        if self._transport is not None:
            self._transport.resume_reading()
            self.data_received(b"")

    def close(self) -> None:
        """At once, with what is unsent."""
        if self._transport is not None:
            self._transport.abort()

    def end(self) -> None:
        """After what is unsent."""
        if self._transport is not None:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        data = self._unread + data if self._unread else data
        at, size = 0, len(data)
        while not self._held and size - at >= LENGTH_BYTES:
            begin = at + LENGTH_BYTES
            length = int.from_bytes(data[at:begin], "little")
            if length > MAX_MESSAGE_BYTES:
                self._unread = b""
                self.close()
                return
            if size - begin < length:
                break
            at = begin + length
            self._arrived(data[begin:at])
        self._unread = data[at:]
