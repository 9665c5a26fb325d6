"""Clients that send events at a constant rate and repeat each call with the same event ids until it is acknowledged.

A call that fails in any way (refused, reset, timed out, 503) may have been stored or not. Every user has one client and
event times that grow, so the history of a user must be exactly the events that were acknowledged, in order.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import httpx

from service_tests.failures.fail_over_http import get_item, make_event

RETRY_PAUSE_S = 0.05
CALL_TIMEOUT_S = 10.0
ACKNOWLEDGED = ("stored", "duplicate")


class EventRejected(AssertionError):
    """The service answered an event with a status that a client cannot repeat."""


@dataclass
class RetryingLoad:
    """`clients` clients that together offer `events_per_s`; each call has one event per user of its client."""

    url: str
    users: Sequence[str]
    clients: int = 20
    events_per_s: float = 1000.0
    acknowledged: Counter[str] = field(default_factory=Counter)
    """Events per user; their numbers are 0 to this."""
    statuses: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    _is_stopping: bool = False
    _tasks: list["asyncio.Task[None]"] = field(default_factory=list)

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._run_client(first)) for first in range(self.clients)]

    async def stop(self) -> None:
        """Wait until every event that was sent has been acknowledged."""
        self._is_stopping = True
        await asyncio.gather(*self._tasks)

    def raise_failures(self) -> None:
        """Raise the error of a client that ended early."""
        for task in self._tasks:
            if task.done():
                task.result()

    async def _run_client(self, first: int) -> None:
        users = self.users[first :: self.clients]
        interval_s = len(self.users) / self.events_per_s
        next_at = time.monotonic() + interval_s * first / self.clients
        async with httpx.AsyncClient(base_url=self.url, timeout=CALL_TIMEOUT_S, trust_env=False) as http:
            while not self._is_stopping:
                await asyncio.sleep(next_at - time.monotonic())
                next_at = max(next_at + interval_s, time.monotonic())
                await self._send(http, [make_event(user, self.acknowledged[user]) for user in users])
                self.acknowledged.update(users)

    async def _send(self, http: httpx.AsyncClient, events: list[dict[str, object]]) -> None:
        while True:
            try:
                response = await http.post("/events", json={"events": events})
            except httpx.TransportError as error:
                self.errors[type(error).__name__] += 1
            else:
                if response.status_code == 202:
                    self._count_results([result["status"] for result in response.json()["results"]])
                    return
                if response.status_code not in (503, 504):
                    raise EventRejected(f"{response.status_code}: {response.text[:500]}")
                self.errors[f"{response.status_code} {response.json()['title']}"] += 1
            await asyncio.sleep(RETRY_PAUSE_S)

    def _count_results(self, statuses: list[str]) -> None:
        self.statuses.update(statuses)
        if not set(statuses) <= set(ACKNOWLEDGED):
            raise EventRejected(f"an event was neither stored nor a duplicate: {Counter(statuses)}")


def list_expected_events(user: str, count: int) -> list[tuple[str, int]]:
    """List item and number of the first `count` events of a user."""
    return [(get_item(number), number) for number in range(count)]
