"""The client for threads."""

import threading
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import httpx

from nextup.calls import Call
from nextup.errors import NextupError
from nextup.event_ids import add_event_ids
from nextup.models import EventsResponse
from nextup.operations import Operations
from nextup.options import ApiKey, ClientOptions
from nextup.requests import EventsRequest
from nextup.retries import RetryBudget, RetryPolicy
from nextup.route import Route

T = TypeVar("T")


class Client(Operations):
    """A client that any number of threads may share; close it, or use it in a `with` block.

    timeout_s        longest wait for a connection or for the next bytes of an answer, per try
    deadline_s       longest time of a call with all its tries; the service gets the remaining time of each try
    max_concurrency  requests at the same time; further calls wait, at most until their deadline
    retries          tries, waits and budget
    transport        transport of httpx, for own certificates or proxies
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
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.options = ClientOptions(
            base_url, api_key, timeout_s, deadline_s, max_concurrency, max_answer_bytes, retries or RetryPolicy()
        )
        self._budget = RetryBudget(self.options.retries)
        self._slots = threading.BoundedSemaphore(max_concurrency)
        limits = httpx.Limits(max_connections=max_concurrency, max_keepalive_connections=max_concurrency)
        self._http = httpx.Client(transport=transport, limits=limits)

    def ingest_events(self, *, deadline_s: float | None = None, **body: Unpack[EventsRequest]) -> EventsResponse:
        """Store 1 to 1,000 events, once each: an event without `event_id` gets one, so that the call is repeatable."""
        return super().ingest_events(deadline_s=deadline_s, events=add_event_ids(body["events"]))

    def call(
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
                return self._try(call)
            except NextupError as error:
                wait_s = call.find_wait(error)
            time.sleep(wait_s)

    def _try(self, call: Call[T]) -> T:
        if not self._slots.acquire(timeout=call.remaining_s):
            raise call.build_deadline_error()
        try:
            headers, timeout_s = call.start_try()
            request = self._http.build_request(
                call.method, call.url, headers=headers, content=call.content, timeout=timeout_s
            )
            response = self._http.send(request, stream=True)
            try:
                content = bytearray()
                for chunk in response.iter_bytes():
                    content += chunk
                    call.check_length(len(content))
            finally:
                response.close()
        except httpx.RequestError as error:
            raise call.build_connection_error(error) from error
        finally:
            self._slots.release()
        return call.read_answer(response.status_code, response.headers, bytes(content))

    def close(self) -> None:
        """Close all connections; calls afterwards raise RuntimeError."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
