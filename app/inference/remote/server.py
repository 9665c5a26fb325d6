"""Server end of the socket in the model process: all HTTP workers query one engine and share its batches.

Tracks the pending requests of each connection and cancels them when it ends.
"""

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from app.errors import Overloaded, ServiceError
from app.inference.comparison import ActivationOutcome
from app.inference.interfaces import Engine
from app.inference.remote.framing import FramedConnection
from app.inference.remote.protocol import (
    ActivateRequest,
    ActivateResult,
    CancelRequest,
    QueryRequest,
    ResidentsAnnouncement,
    ServerMessage,
    SimilarQueryRequest,
    VersionAnnouncement,
    client_message_decoder,
    decode_query,
    encode_error,
    encode_result,
    encoder,
)

log = logging.getLogger("nextup")

BACKLOG = 64
OWNER_ONLY_UMASK = 0o177


class ModelServer:
    """Serves the engine on a Unix socket; at most `max_pending` requests may wait per connection.

    `activate` is that of ModelActivator. Call `announce_version` in the step of the event loop that swaps versions, and
    `announce_residents` in that which changes the other versions in memory.
    """

    def __init__(
        self,
        engine: Engine,
        get_folder: Callable[[], Path],
        get_resident_folders: Callable[[], Mapping[str, Path]],
        activate: Callable[[str], Awaitable[ActivationOutcome]],
        *,
        max_pending: int,
    ) -> None:
        self.engine = engine
        self.activate = activate
        self.max_pending = max_pending
        self._get_folder = get_folder
        self._get_resident_folders = get_resident_folders
        self._connections: set[_Connection] = set()

    @asynccontextmanager
    async def listen(self, path: Path) -> AsyncIterator[None]:
        """Accept connections of the process's own user until the block ends, then close them."""
        loop = asyncio.get_running_loop()
        listener = _bind_socket(path)
        server = await loop.create_unix_server(lambda: _Connection(self).frames, sock=listener, backlog=BACKLOG)
        try:
            yield
        finally:
            server.close()
            _remove_socket(path)
            for connection in list(self._connections):
                connection.frames.close()

    @property
    def pending_count(self) -> int:
        """Number of unanswered queries and activations of all connections."""
        return sum(len(connection.tasks) for connection in self._connections)

    def announce_version(self) -> None:
        for connection in self._connections:
            connection.send(self._build_announcement())

    def announce_residents(self) -> None:
        for connection in self._connections:
            connection.send(self._build_residents())

    def add_connection(self, connection: "_Connection") -> None:
        self._connections.add(connection)
        connection.send(self._build_announcement())
        connection.send(self._build_residents())

    def remove_connection(self, connection: "_Connection") -> None:
        self._connections.discard(connection)

    def _build_announcement(self) -> VersionAnnouncement:
        model_info = self.engine.servable.model_info
        assert model_info is not None, "the model is in this process"
        return VersionAnnouncement(str(self._get_folder()), model_info)

    def _build_residents(self) -> ResidentsAnnouncement:
        folders = {version: str(folder) for version, folder in self._get_resident_folders().items()}
        return ResidentsAnnouncement(folders, dict(self.engine.resident_problems))


class _Connection:
    def __init__(self, server: ModelServer) -> None:
        self._server = server
        self.tasks: dict[int, asyncio.Task[None]] = {}
        self.frames = FramedConnection(self._on_message, self._on_end, lambda: server.add_connection(self))

    def send(self, message: ServerMessage) -> None:
        self.frames.send(encoder.encode(message))

    def _on_message(self, data: bytes) -> None:
        message = client_message_decoder.decode(data)
        number = message.number
        if isinstance(message, CancelRequest):
            # Removed here because a task that is cancelled before its first step never reaches its `finally`.
            if (task := self.tasks.pop(number, None)) is not None:
                task.cancel()
            return
        if len(self.tasks) >= self._server.max_pending:
            error = Overloaded(f"model: {self._server.max_pending} requests of this worker already wait; retry later")
            self.send(encode_error(number, error))
            return
        loop = asyncio.get_running_loop()
        is_activation = isinstance(message, ActivateRequest)
        reply = self._activate(message) if is_activation else self._answer(message, loop.time())
        self.tasks[number] = loop.create_task(reply)

    async def _answer(self, request: QueryRequest | SimilarQueryRequest, received_at: float) -> None:
        try:
            deadline = received_at + request.remaining_s
            top = await self._server.engine.find_top_items(decode_query(request), deadline)
        except Exception as error:
            self._send_error(request.number, error)
        else:
            self.send(encode_result(request.number, top))
        finally:
            self.tasks.pop(request.number, None)

    async def _activate(self, request: ActivateRequest) -> None:
        try:
            outcome = await self._server.activate(request.version)
        except Exception as error:
            self._send_error(request.number, error)
        else:
            self.send(ActivateResult(request.number, outcome))
        finally:
            self.tasks.pop(request.number, None)

    def _send_error(self, number: int, error: Exception) -> None:
        if not isinstance(error, ServiceError):
            log.error("model request failed with an unexpected error", exc_info=error)
        self.send(encode_error(number, error))

    def _on_end(self) -> None:
        """Cancel the requests of a worker that has disconnected.

        A cancelled activation has either changed nothing yet or has written its target version, which the next poll
        activates.
        """
        self._server.remove_connection(self)
        for task in self.tasks.values():
            task.cancel()
        self.tasks.clear()


def _bind_socket(path: Path) -> socket.socket:
    _remove_socket(path)  # left behind by a process that was killed
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    previous_umask = os.umask(OWNER_ONLY_UMASK)  # a chmod after the bind would leave the socket open for a moment
    try:
        listener.bind(str(path))
    finally:
        os.umask(previous_umask)
    return listener


def _remove_socket(path: Path) -> None:
    path.unlink(missing_ok=True)
