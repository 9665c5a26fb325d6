"""The model's end of the socket: queries of all HTTP workers into one engine, so that their batches are shared.

It knows connections, what each waits for, and what becomes of that when one ends. It knows no model: an engine
answers.
"""

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from app.errors import Overloaded, ServiceError
from app.inference.interfaces import Engine
from app.inference.remote.framing import FramedConnection
from app.inference.remote.protocol import (
    ActivateRequest,
    ActivateResult,
    CancelRequest,
    QueryRequest,
    ServerMessage,
    SimilarRequest,
    VersionAnnouncement,
    client_message_decoder,
    decode_query,
    encode_error,
    encode_result,
    encoder,
)

log = logging.getLogger("nextup")

BACKLOG = 64
OWNER_ONLY = 0o177


class ModelServer:
    """`activate` gives the version that served before; `max_pending` queries may wait per connection.

    Call `announce_version` whenever another version serves, in the same step of the event loop.
    """

    def __init__(
        self, engine: Engine, folder: Callable[[], Path], activate: Callable[[str], Awaitable[str]], *, max_pending: int
    ) -> None:
        self.engine = engine
        self.activate = activate
        self.max_pending = max_pending
        self._folder = folder
        self._connections: set[_Connection] = set()

    @asynccontextmanager
    async def listen(self, path: Path) -> AsyncIterator[None]:
        """Until the block ends; then the connections end too. Nobody but the owner of the process may connect."""
        loop = asyncio.get_running_loop()
        server = await loop.create_unix_server(lambda: _Connection(self).frames, sock=_bound(path), backlog=BACKLOG)
        try:
            yield
        finally:
            server.close()
            _remove(path)
            for connection in list(self._connections):
                connection.frames.end()

    @property
    def pending_count(self) -> int:
        """Queries and activations of all connections that have no answer yet."""
        return sum(len(connection.tasks) for connection in self._connections)

    def announce_version(self) -> None:
        for connection in self._connections:
            connection.say(self.build_announcement())

    def build_announcement(self) -> VersionAnnouncement:
        model_info = self.engine.servable.model_info
        assert model_info is not None, "the model is in this process"
        return VersionAnnouncement(str(self._folder()), model_info)

    def add_connection(self, connection: "_Connection") -> None:
        self._connections.add(connection)
        connection.say(self.build_announcement())

    def remove_connection(self, connection: "_Connection") -> None:
        self._connections.discard(connection)


class _Connection:
    def __init__(self, server: ModelServer) -> None:
        self._server = server
        self.tasks: dict[int, asyncio.Task[None]] = {}
        self.frames = FramedConnection(self._arrived, self._ended, lambda: server.add_connection(self))

    def say(self, said: ServerMessage) -> None:
        self.frames.send(encoder.encode(said))

    def _arrived(self, message: bytes) -> None:
        decode_query = client_message_decoder.decode(message)
        number = decode_query.number
        if isinstance(decode_query, CancelRequest):
            # Taken out here: a task that is cancelled before its first step never comes to its end.
            if (task := self.tasks.pop(number, None)) is not None:
                task.cancel()
            return
        if len(self.tasks) >= self._server.max_pending:
            self.say(encode_error(number, Overloaded(f"model: {self._server.max_pending} of one worker already wait")))
            return
        loop = asyncio.get_running_loop()
        reply = (
            self._activated(decode_query)
            if isinstance(decode_query, ActivateRequest)
            else self._answer(decode_query, loop.time())
        )
        self.tasks[number] = loop.create_task(reply)

    async def _answer(self, ask: QueryRequest | SimilarRequest, now: float) -> None:
        try:
            top = await self._server.engine.find_top_items(decode_query(ask), now + ask.left_s)
        except Exception as error:
            self._say_why(ask.number, error)
        else:
            self.say(encode_result(ask.number, top))
        finally:
            self.tasks.pop(ask.number, None)

    async def _activated(self, wish: ActivateRequest) -> None:
        try:
            before = await self._server.activate(wish.version)
        except Exception as error:
            self._say_why(wish.number, error)
        else:
            self.say(ActivateResult(wish.number, before))
        finally:
            self.tasks.pop(wish.number, None)

    def _say_why(self, number: int, error: Exception) -> None:
        if not isinstance(error, ServiceError):
            log.error("a query failed", exc_info=error)
        self.say(encode_error(number, error))

    def _ended(self) -> None:
        """Nobody waits for the answers of a worker that is gone. An activation has changed nothing yet, or its wish is
        written, and will be followed.
        """
        self._server.remove_connection(self)
        for task in self.tasks.values():
            task.cancel()
        self.tasks.clear()


def _bound(path: Path) -> socket.socket:
    _remove(path)  # of a process that was killed
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(OWNER_ONLY)  # and not a chmod afterwards: there would be a moment between
    try:
        listener.bind(str(path))
    finally:
        os.umask(before)
    return listener


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
