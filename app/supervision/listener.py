"""The listening socket of the service: only the supervisor accepts, and hands each connection to a worker that works.

Workers take turns, so that connections spread evenly, and a worker that hangs, starts or stops gets none. A connection
that a worker did not confirm before it ended goes to another one. The port is free as soon as the supervisor ends,
however it ends.
"""

import ctypes
import errno
import logging
import socket
import struct
import sys
import time
from collections import deque
from collections.abc import Iterable, Sequence

from app.supervision.child import Child
from app.supervision.refusals import Refusals

log = logging.getLogger("nextup")

BACKLOG = 2048
MAX_ACCEPTS = 64
"""Most connections of one step, so that signals and heartbeats are not delayed."""
CLOSED_BY_CLIENT = frozenset({errno.ECONNABORTED, errno.EPROTO, errno.EPERM, errno.ENETDOWN, errno.EHOSTUNREACH})
PATIENCE_S = 5.0
"""How long connections wait for a worker before they are answered 503; most workers are replaced in less."""
SETTLE_S = 0.05
"""How long handshakes that have begun may take to complete before the socket is closed."""

_SO_ATTACH_FILTER = 26
# Classic BPF: drop a segment that has SYN but not ACK in the flags of its TCP header, and pass all others.
_DROP_SYN = ((0x30, 0, 0, 13), (0x54, 0, 0, 0x12), (0x15, 0, 1, 0x02), (0x06, 0, 0, 0), (0x06, 0, 0, 0x7FFFFFFF))


class Listener:
    def __init__(self, listener: socket.socket) -> None:
        self.socket = listener
        self.is_open = False
        """Whether clients can connect: from the start of the workers to the drain."""
        self._is_closed = False
        self._turn = 0
        self._unsent: deque[socket.socket] = deque()
        self._refusals = Refusals()
        self._takers_at = time.monotonic()

    def open(self) -> None:
        if not self.is_open:
            self.socket.setblocking(False)
            self.socket.listen(BACKLOG)
            self.is_open = True

    def accept(self, children: Sequence[Child]) -> None:
        """Hand connections that wait to workers; while no worker takes them, they wait and then get 503."""
        self._refusals.sweep()
        takers = [child for child in children if child.takes_connections]
        takers = [child for child in takers if child.is_healthy] or takers
        if takers:
            self._takers_at = time.monotonic()
        elif time.monotonic() - self._takers_at > PATIENCE_S:
            self._refuse_waiting()
        takers = [child for child in takers if child.has_room]
        for _ in range(MAX_ACCEPTS):
            connection = self._take_connection() if takers else None
            if connection is None:
                return
            self._turn += 1
            child = takers[self._turn % len(takers)]
            if not child.send_connection(connection):
                self._unsent.appendleft(connection)
                takers.remove(child)
            elif not child.has_room:
                takers.remove(child)

    def take_back(self, connections: Iterable[socket.socket]) -> None:
        """Accept connections that a worker has not read from; another one gets them before all that wait."""
        self._unsent.extend(connections)
        if self._is_closed:
            self._close_unsent()

    def close(self, children: Sequence[Child]) -> None:
        """Stop listening without losing a connection whose handshake has begun.

        New clients are ignored for a moment, and refused when they try again.
        """
        if self.is_open:
            _ignore_new_clients(self.socket)
            deadline = time.monotonic() + SETTLE_S
            while time.monotonic() < deadline:
                self.accept(children)
                time.sleep(SETTLE_S / 10)
            self.accept(children)
        self.is_open = False
        self.socket.close()
        self._refusals.close()
        self._is_closed = True
        self._close_unsent()

    def _refuse_waiting(self) -> None:
        while self._refusals.has_room:
            connection = self._take_connection()
            if connection is None:
                return
            self._refusals.refuse(connection)

    def _close_unsent(self) -> None:
        while self._unsent:
            self._unsent.popleft().close()

    def _take_connection(self) -> socket.socket | None:
        return self._unsent.popleft() if self._unsent else self._accept_connection()

    def _accept_connection(self) -> socket.socket | None:
        try:
            connection, _ = self.socket.accept()
        except BlockingIOError:
            return None
        except OSError as error:
            if error.errno not in CLOSED_BY_CLIENT:
                log.error("the service cannot accept connections: %s", error.strerror)
                time.sleep(SETTLE_S)
            return None
        return connection


def _ignore_new_clients(listener: socket.socket) -> None:
    """Let the kernel drop requests for new connections; without effect where it cannot."""
    if sys.platform != "linux" or listener.family == socket.AF_UNIX:
        return
    program = b"".join(struct.pack("HBBI", *instruction) for instruction in _DROP_SYN)
    buffer = ctypes.create_string_buffer(program)
    pointer = struct.pack("HP", len(_DROP_SYN), ctypes.addressof(buffer))
    try:
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, pointer)
    except OSError as error:
        log.debug("new clients may see a reset connection during the drain: %s", error.strerror)
