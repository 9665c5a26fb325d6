"""Load during a Redis failover: events sent, acknowledged and read back, with the time without acknowledgements.

Every user has a reader and writers, each of which sends one event after the other, repeating it until it is
acknowledged. The callables `send` and `read` decide whether this goes to a store or over HTTP.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

PAUSE_S = 0.005
"""Between two calls of one writer or reader, so that a busy machine does not become busier."""


class CallFailed(Exception):
    """A call failed in a way that a failover allows; the text is the kind of error, to be counted."""


@dataclass
class Load:
    """Writers and readers of `users`, with counts of their requests, errors and acknowledged events.

    `send(user, number)` returns when the event is acknowledged; `read(user, count_sent, acknowledged)` checks a history
    and returns its source. Both raise CallFailed while the store is unavailable. Events of a user are numbered from 0,
    and `writers` of them are in flight at a time, so they arrive out of order.
    """

    users: Sequence[str]
    send: Callable[[str, int], Awaitable[None]]
    read: Callable[[str, Callable[[], int], int], Awaitable[str]]
    writers: int = 1
    acknowledged: dict[str, set[int]] = field(default_factory=dict)
    requests: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    max_gap_s: dict[str, float] = field(default_factory=dict)
    """Per user, the longest time in seconds between two acknowledgements."""
    _is_stopping: bool = False
    _acknowledged_at: dict[str, float] = field(default_factory=dict)
    _acknowledgement: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, during: Callable[[], Awaitable[None]]) -> None:
        """Run writers and readers until `during` returns, then wait for every event in flight."""
        tasks = [
            asyncio.create_task(loop)
            for user in self.users
            for loop in [self._run_reader(user), *(self._run_writer(user, first) for first in range(self.writers))]
        ]
        try:
            await during()
        finally:
            self._is_stopping = True
        await asyncio.wait_for(asyncio.gather(*tasks), 30.0)

    def count(self, user: str) -> int:
        return len(self.acknowledged.get(user, ()))

    async def wait_for_more(self, more: int, users: Sequence[str] | None = None) -> None:
        """Wait until every user (or these) has `more` acknowledged events in addition to those of now."""
        target_counts = {user: self.count(user) + more for user in users or self.users}
        async with asyncio.timeout(30.0):
            while any(self.count(user) < count for user, count in target_counts.items()):
                self._acknowledgement.clear()
                await self._acknowledgement.wait()

    def report(self, name: str, histories: dict[str, list[int]]) -> dict[str, object]:
        """Print and return the figures; `histories` are the numbers of the stored events in history order."""
        lost = sum(len(self.acknowledged[user] - set(histories[user])) for user in self.users)
        duplicated = sum(len(numbers) - len(set(numbers)) for numbers in histories.values())
        figures: dict[str, object] = {
            "fail_over": name,
            "requests": dict(self.requests),
            "errors": dict(self.errors),
            "unavailable_s": round(max(self.max_gap_s.values()), 2),
            "acknowledged": sum(map(self.count, self.users)),
            "lost": lost,
            "duplicated": duplicated,
            "out_of_order": sum(numbers != sorted(numbers) for numbers in histories.values()),
        }
        print(json.dumps(figures))
        return figures

    async def _run_writer(self, user: str, first: int) -> None:
        number = first
        loop = asyncio.get_running_loop()
        while not self._is_stopping:
            while True:
                self.requests["events"] += 1
                try:
                    await self.send(user, number)
                    break
                except CallFailed as error:
                    self.errors[str(error)] += 1
                    await asyncio.sleep(0.05)
            self._record_acknowledgement(user, number, loop.time())
            number += self.writers
            await asyncio.sleep(PAUSE_S)

    def _record_acknowledgement(self, user: str, number: int, now: float) -> None:
        self.acknowledged.setdefault(user, set()).add(number)
        gap_s = now - self._acknowledged_at.get(user, now)
        self.max_gap_s[user] = max(self.max_gap_s.get(user, 0.0), gap_s)
        self._acknowledged_at[user] = now
        self._acknowledgement.set()

    async def _run_reader(self, user: str) -> None:
        while not self._is_stopping:
            self.requests["reads"] += 1
            try:
                source = await self.read(user, lambda: self.count(user) + self.writers, self.count(user))
                self.requests[f"reads answered by {source}"] += 1
            except CallFailed as error:
                self.errors[str(error)] += 1
                await asyncio.sleep(0.05)
            await asyncio.sleep(PAUSE_S)
