"""The whole application behind a real socket in a thread of the test, and a proxy that breaks connections to it."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import httpx
import uvicorn
from starlette.types import ASGIApp

from app.http.server import build_server_options
from app.main import create_app
from app.settings import Settings
from service_tests.support.waiting import wait_until_async

T = TypeVar("T")

CHUNK_BYTES = 1 << 16
CALL_S = 100.0


class LoopThread:
    """An event loop in a thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the loop and wait for its result."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(CALL_S)

    def close(self) -> None:
        self.run(self._cancel_tasks())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CALL_S)
        self._loop.close()

    async def _cancel_tasks(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # transports close in the next iteration


class SocketServer:
    """Serves the application on one port, which stays the same when it is started again."""

    def __init__(self, loop: LoopThread, settings: Settings, wrap: Callable[[ASGIApp], ASGIApp]) -> None:
        self.loop = loop
        self._settings = settings
        self._wrap = wrap
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start a new application; the store and the folder of the settings have what an earlier one left."""
        self.loop.run(self._start())

    async def _start(self) -> None:
        config = uvicorn.Config(
            self._wrap(create_app(self._settings)),
            port=self.port,
            lifespan="on",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=1,
            **build_server_options(self._settings),
        )
        self._server = uvicorn.Server(config)
        self._task = asyncio.create_task(self._server.serve())
        await wait_until_async(lambda: self._server.started or self._task.done(), description="the server listens")
        self.port = self._server.servers[0].sockets[0].getsockname()[1]

    def stop(self) -> None:
        """Answer the requests that are running, and close the port and the application."""
        self.loop.run(self._stop())

    async def _stop(self) -> None:
        self._server.should_exit = True
        await self._task

    def read_metric(self, name: str) -> float:
        """Value of one sample, named with its labels as in the exposition; 0 if it is absent."""
        return self.read_metrics(name).get(name, 0.0)

    def read_metrics(self, prefix: str) -> dict[str, float]:
        """Values of all samples whose names begin with `prefix`."""
        text = httpx.get(f"{self.url}/metrics", timeout=CALL_S).text
        samples = [line.rsplit(" ", 1) for line in text.splitlines() if line.startswith(prefix)]
        return {name: float(value) for name, value in samples}


class FlakyProxy:
    """Forwards connections to a port; the next `cut_answers` answers are lost: their connections are closed."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.cut_answers = 0
        self.url = ""

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            writer.close()
            return
        request = asyncio.ensure_future(self._forward_request(reader, server_writer))
        try:
            with suppress(OSError):
                while chunk := await server_reader.read(CHUNK_BYTES):
                    if self.cut_answers:
                        self.cut_answers -= 1
                        break
                    writer.write(chunk)
                    await writer.drain()
        finally:
            request.cancel()
            writer.close()
            server_writer.close()

    async def _forward_request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while chunk := await reader.read(CHUNK_BYTES):
                writer.write(chunk)
                await writer.drain()
        writer.close()


@contextmanager
def serve_on_socket(settings: Settings, wrap: Callable[[ASGIApp], ASGIApp] = lambda app: app) -> Iterator[SocketServer]:
    """Run the service behind a socket until the block ends; `wrap` may watch its requests."""
    loop = LoopThread()
    server = SocketServer(loop, settings, wrap)
    try:
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        loop.close()


@contextmanager
def run_flaky_proxy(server: SocketServer) -> Iterator[FlakyProxy]:
    """Run a proxy in front of the service until the block ends."""
    proxy = FlakyProxy(server.port)
    listener = server.loop.run(asyncio.start_server(proxy.accept, "127.0.0.1", 0))
    proxy.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    try:
        yield proxy
    finally:
        listener.close()
