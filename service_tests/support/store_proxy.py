"""A TCP proxy in front of Redis, in the test's event loop: slow, silent or away on request."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

CHUNK_BYTES = 1 << 16


class StoreProxy:
    """`delay_s` holds back each chunk of replies; while `is_away`, connections are closed immediately."""

    def __init__(self, socket_path: str) -> None:
        self._socket_path = socket_path
        self._tasks: set[asyncio.Task[None]] = set()
        self.delay_s = 0.0
        self.is_away = False
        self.port = 0

    def go_away(self) -> None:
        """Close all connections, and new ones until `come_back`."""
        self.is_away = True
        for task in self._tasks:
            task.cancel()

    def come_back(self) -> None:
        self.is_away = False

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_away:
            writer.close()
            return
        server_reader, server_writer = await asyncio.open_unix_connection(self._socket_path)
        loop = asyncio.get_running_loop()
        tasks = {
            loop.create_task(self._forward(reader, server_writer, is_reply=False)),
            loop.create_task(self._forward(server_reader, writer, is_reply=True)),
        }
        self._tasks |= tasks
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        self._tasks -= tasks
        for task in tasks:
            task.cancel()
        writer.close()
        server_writer.close()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_reply: bool) -> None:
        with suppress(OSError):
            while chunk := await reader.read(CHUNK_BYTES):
                if is_reply and self.delay_s:
                    await asyncio.sleep(self.delay_s)
                writer.write(chunk)
                await writer.drain()


@asynccontextmanager
async def run_store_proxy(socket_path: str) -> AsyncIterator[StoreProxy]:
    """Listen on a port of the loopback interface until the block ends."""
    proxy = StoreProxy(socket_path)
    server = await asyncio.start_server(proxy.accept, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        proxy.go_away()
