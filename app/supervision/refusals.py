"""Answers of the supervisor itself while no worker takes connections: 503, so that clients do not wait for nothing."""

import json
import socket
import time
from collections import deque

MAX_OPEN = 128
"""Most connections that are being refused; more wait in the backlog."""
LINGER_S = 0.5
"""How long a client may take to send its request and read the answer; a reset before that would hide the answer."""
_PROBLEM = json.dumps(
    {
        "type": "urn:nextup:problem:overloaded",
        "title": "Overloaded",
        "status": 503,
        "detail": "no worker serves, and all are being started again; retry later",
        "request_id": "",
        "errors": [],
    }
).encode()
_ANSWER = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\nretry-after: 1\r\n"
    b"connection: close\r\ncache-control: no-store\r\nx-content-type-options: nosniff\r\ncontent-length: %d\r\n\r\n%s"
) % (len(_PROBLEM), _PROBLEM)


class Refusals:
    """Connections that have got their answer and wait for the client to read it."""

    def __init__(self) -> None:
        self._open: deque[tuple[float, socket.socket]] = deque()

    @property
    def has_room(self) -> bool:
        return len(self._open) < MAX_OPEN

    def refuse(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        try:
            connection.send(_ANSWER)
            connection.shutdown(socket.SHUT_WR)
        except OSError:  # the client is gone
            connection.close()
            return
        self._open.append((time.monotonic() + LINGER_S, connection))

    def sweep(self) -> None:
        """Discard what clients send, and close connections whose time is over."""
        now = time.monotonic()
        for _, connection in self._open:
            _discard_request(connection)
        while self._open and self._open[0][0] < now:
            self._open.popleft()[1].close()

    def close(self) -> None:
        while self._open:
            self._open.popleft()[1].close()


def _discard_request(connection: socket.socket) -> None:
    try:
        connection.recv(1 << 16)
    except OSError:
        return
