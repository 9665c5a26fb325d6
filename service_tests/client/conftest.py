"""One service behind a socket for all tests, and both clients with one interface."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from app.settings import Settings
from nextup import AsyncClient, Client, RetryPolicy
from service_tests.support.served_service import FlakyProxy, SocketServer, run_flaky_proxy, serve_on_socket

LONG_S = 60.0
PATIENT = RetryPolicy(max_tries=100_000, first_wait_s=0.01, max_wait_s=0.1, budget_size=100_000)
"""Retries that end with the deadline."""


class AnyClient:
    """Methods of `Client`, or those of `AsyncClient` in an event loop that it owns."""

    def __init__(self, client: Client | AsyncClient, runner: asyncio.Runner) -> None:
        self._client = client
        self._runner = runner
        self._threads = ThreadPoolExecutor(8)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)
        if isinstance(self._client, Client):
            return method  # type: ignore[no-any-return]  # a method of the client
        return lambda *values, **fields: self._runner.run(method(*values, **fields))

    def start(self, name: str, **fields: Any) -> "Future[Any]":
        """Start a call and do not wait for it."""
        return self._threads.submit(getattr(self, name), **fields)

    def start_many(self, count: int, name: str, **fields: Any) -> "Future[list[Any]]":
        """Start `count` equal calls at the same time."""
        if isinstance(self._client, Client):
            calls = [self.start(name, **fields) for _ in range(count)]
            return self._threads.submit(lambda: [call.result() for call in calls])
        method = getattr(self._client, name)

        async def gather() -> list[Any]:
            return await asyncio.gather(*(method(**fields) for _ in range(count)))

        return self._threads.submit(lambda: self._runner.run(gather()))

    def finish(self) -> None:
        self._threads.shutdown()
        self.close()


Connect = Callable[..., AnyClient]


@pytest.fixture(params=["threads", "asyncio"])
def connect(request: pytest.FixtureRequest) -> Iterator[Connect]:
    """Return a function that creates clients of an address, which are closed afterwards."""
    clients: list[AnyClient] = []
    with asyncio.Runner() as runner:

        def create_client(url: str, **options: Any) -> AnyClient:
            kind: type[Client | AsyncClient] = Client if request.param == "threads" else AsyncClient
            defaults: dict[str, Any] = {"timeout_s": LONG_S, "deadline_s": LONG_S, "retries": PATIENT}
            clients.append(AnyClient(kind(url, **defaults | options), runner))
            return clients[-1]

        yield create_client
        for client in clients:
            client.finish()


@pytest.fixture(scope="session")
def client_settings(tiny_artifact: Path, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(
        artifact=tiny_artifact,
        data_dir=tmp_path_factory.mktemp("client"),
        redis_url=SecretStr(redis_url),
        redis_timeout_ms=5000,
        request_deadline_ms=60_000,
        torch_threads=1,
        max_body_bytes=200_000,
        archive="off",
    )


@pytest.fixture(scope="session")
def server(client_settings: Settings) -> Iterator[SocketServer]:
    with serve_on_socket(client_settings) as server:
        yield server


@pytest.fixture
def proxy(server: SocketServer) -> Iterator[FlakyProxy]:
    with run_flaky_proxy(server) as proxy:
        yield proxy
