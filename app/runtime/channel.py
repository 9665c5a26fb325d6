"""Messages between a supervisor and its processes, each one byte over a Unix socket pair.

Either end sees the end of the other one as the end of the stream, also after SIGKILL.
"""

import socket

CONNECTION = b"c"
"""To a worker, with the file descriptor of an accepted connection, which it confirms before it reads from it."""
NOTICE = b"n"
"""To a worker: the service will stop soon, and readiness must say so; connections still follow."""
DRAIN = b"d"
"""To a process: no connection follows; finish what is running and exit."""

ALIVE = b"."
SERVING = b"s"
"""The process has started and takes connections or queries."""
LOOP_LATE = b"w"
"""The event loop has not run for a moment: other workers should take the next connections."""
LOOP_STALLED = b"l"
MODEL_LATE = b"h"
"""The model has not finished a batch for a moment: other workers, if their models work, should take over."""
MODEL_STALLED = b"m"
DRAINING = b"x"
"""The process was asked to stop by something else than its supervisor, and takes no further connections."""
CONFIRMED = b"t"
"""The worker serves the oldest connection that it has not confirmed, and reads from it from now on."""
RETURNED = b"r"
"""The worker had no file descriptor left for that connection and has not got it."""

MAX_MESSAGES = 8
"""Most messages that a process takes in one step of its event loop.

Each may carry an open file. A worker at its limit of connections closes others between two steps; a step of 64 would
exceed the files that it keeps free.
"""

MAX_REPORTS = 1024
"""Most messages that a supervisor takes from one process in one step."""


def send(channel: socket.socket, message: bytes, connection: socket.socket | None = None) -> bool:
    """Send without waiting; False if the other end is gone or does not read."""
    try:
        if connection is None:
            return channel.send(message) == len(message)
        return socket.send_fds(channel, [message], [connection.fileno()]) == len(message)
    except OSError:
        return False


def receive(channel: socket.socket) -> tuple[bytes, socket.socket | None]:
    """Receive one message, with a connection if it carries one; BlockingIOError if there is none.

    Empty at the end of the stream. An error of the stream is its end, too.
    """
    try:
        message, descriptors, _, _ = socket.recv_fds(channel, 1, 1)
    except BlockingIOError:
        raise
    except OSError:
        return b"", None
    return message, socket.socket(fileno=descriptors[0]) if descriptors else None


def receive_reports(channel: socket.socket) -> bytes:
    """Receive messages without connections, several at a time; BlockingIOError if there are none.

    Empty at the end of the stream, as in `receive`.
    """
    try:
        return channel.recv(MAX_REPORTS)
    except BlockingIOError:
        raise
    except OSError:
        return b""


def open_child_end(descriptor: int) -> socket.socket:
    """Open the inherited end of a process whose supervisor passed this descriptor."""
    channel = socket.socket(fileno=descriptor)
    channel.setblocking(False)
    channel.set_inheritable(False)
    return channel
