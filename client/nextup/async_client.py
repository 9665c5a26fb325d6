"""The client for asyncio."""

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import httpx

from nextup.async_operations import AsyncOperations
from nextup.calls import Call
from nextup.errors import NextupError
from nextup.event_ids import add_event_ids
from nextup.models import EventsResponse
from nextup.options import ApiKey, ClientOptions
from nextup.requests import EventsRequest
from nextup.retries import RetryBudget, RetryPolicy
from nextup.route import Route

T = TypeVar("T")


class AsyncClient(AsyncOperations):
    """A client for the tasks of one event loop; its options are those of `Client`.

    A call that is cancelled closes its connection, so that the service cancels it too.
    """

    def __init__(
        self,
        base_url: str,
        *,
        api_key: ApiKey = None,
        timeout_s: float = 5.0,
        deadline_s: float = 15.0,
        max_concurrency: int = 64,
        max_answer_bytes: int = 64 * 2**20,
        retries: RetryPolicy | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.options = ClientOptions(
            base_url, api_key, timeout_s, deadline_s, max_concurrency, max_answer_bytes, retries or RetryPolicy()
        )
        self._budget = RetryBudget(self.options.retries)
        self._slots = asyncio.Semaphore(max_concurrency)
        limits = httpx.Limits(max_connections=max_concurrency, max_keepalive_connections=max_concurrency)
        self._http = httpx.AsyncClient(transport=transport, limits=limits)

    async def ingest_events(self, *, deadline_s: float | None = None, **body: Unpack[EventsRequest]) -> EventsResponse:
        """Store 1 to 1,000 events, once each: an event without `event_id` gets one, so that the call is repeatable."""
        return await super().ingest_events(deadline_s=deadline_s, events=add_event_ids(body["events"]))

    async def call(
        self,
        route: Route[T],
        *path_values: str,
        query: Mapping[str, object] | None = None,
        body: Mapping[str, Any] | bytes | None = None,
        deadline_s: float | None = None,
    ) -> T:
        call = Call(self.options, self._budget, route, path_values, query=query, body=body, deadline_s=deadline_s)
        while True:
            try:
                async with asyncio.timeout(call.remaining_s):
                    return await self._try(call)
            except TimeoutError:
                raise call.build_deadline_error() from None
            except NextupError as error:
                wait_s = call.find_wait(error)
            await asyncio.sleep(wait_s)

    async def _try(self, call: Call[T]) -> T:
        async with self._slots:
            headers, timeout_s = call.start_try()
            request = self._http.build_request(
                call.method, call.url, headers=headers, content=call.content, timeout=timeout_s
            )
            try:
                response = await self._http.send(request, stream=True)
                try:
                    content = bytearray()
                    async for chunk in response.aiter_bytes():
                        content += chunk
                        call.check_length(len(content))
                finally:
                    await response.aclose()
            except httpx.RequestError as error:
                raise call.build_connection_error(error) from error
        return call.read_answer(response.status_code, response.headers, bytes(content))

    async def close(self) -> None:
        """Close all connections; calls afterwards raise RuntimeError."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()
