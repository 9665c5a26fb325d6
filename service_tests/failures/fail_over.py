"""Load for the time in which one Redis takes the place of another: what is sent, what is acknowledged, what is found.

Every user has writers that send one event after the other, each until it is acknowledged, and a reader. Knows events,
acknowledgements and time; how an event is sent and a history is read is given. Nothing here knows Redis or HTTP.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

PAUSE_S = 0.005
"""Between two calls of one writer or reader, so that a busy machine is not made busier."""


class CallFailed(Exception):
    """The call failed in a way that is allowed; the text is the kind of error, to be counted."""


@dataclass
class Load:
    """`send(user, number)` returns when the event is acknowledged; `read(user, sent, acknowledged)` checks an answer.

    Both raise CallFailed where the store is away. Events of a user are numbered from 0 and `writers` of them are under
    way at a time, so they arrive out of order.
    """

    users: Sequence[str]
    send: Callable[[str, int], Awaitable[None]]
    read: Callable[[str, Callable[[], int], int], Awaitable[str]]
    writers: int = 1
    acknowledged: dict[str, set[int]] = field(default_factory=dict)
    requests: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    longest_without: dict[str, float] = field(default_factory=dict)
    """Per user, the longest time in seconds between two acknowledgements."""
    _ends: bool = False
    _last: dict[str, float] = field(default_factory=dict)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, during: Callable[[], Awaitable[None]]) -> None:
        """Writers and readers run until `during` has, and every event under way is acknowledged."""
        tasks = [
            asyncio.create_task(work)
            for user in self.users
            for work in [self._reader(user), *(self._writer(user, first) for first in range(self.writers))]
        ]
        try:
            await during()
        finally:
            self._ends = True
        await asyncio.wait_for(asyncio.gather(*tasks), 30.0)

    def count(self, user: str) -> int:
        return len(self.acknowledged.get(user, ()))

    async def wait_for_more(self, more: int, users: Sequence[str] | None = None) -> None:
        """Until every user (or these) has so many more acknowledged events than now."""
        wanted = {user: self.count(user) + more for user in users or self.users}
        async with asyncio.timeout(30.0):
            while any(self.count(user) < count for user, count in wanted.items()):
                self._news.clear()
                await self._news.wait()

    def report(self, name: str, found: dict[str, list[int]]) -> dict[str, object]:
        """The figures, with what was lost and what is there more than once; `found` are the events in history order."""
        lost = sum(len(self.acknowledged[user] - set(found[user])) for user in self.users)
        twice = sum(len(numbers) - len(set(numbers)) for numbers in found.values())
        figures: dict[str, object] = {
            "fail_over": name,
            "requests": dict(self.requests),
            "errors": dict(self.errors),
            "unavailable_s": round(max(self.longest_without.values()), 2),
            "acknowledged": sum(map(self.count, self.users)),
            "lost": lost,
            "duplicated": twice,
            "out_of_order": sum(numbers != sorted(numbers) for numbers in found.values()),
        }
        print(json.dumps(figures))
        return figures

    async def _writer(self, user: str, first: int) -> None:
        number = first
        loop = asyncio.get_running_loop()
        while not self._ends:
            while True:
                self.requests["events"] += 1
                try:
                    await self.send(user, number)
                    break
                except CallFailed as error:
                    self.errors[str(error)] += 1
                    await asyncio.sleep(0.05)
            self._acknowledge(user, number, loop.time())
            number += self.writers
            await asyncio.sleep(PAUSE_S)

    def _acknowledge(self, user: str, number: int, now: float) -> None:
        self.acknowledged.setdefault(user, set()).add(number)
        before = self._last.get(user, now)
        self.longest_without[user] = max(self.longest_without.get(user, 0.0), now - before)
        self._last[user] = now
        self._news.set()

    async def _reader(self, user: str) -> None:
        while not self._ends:
            self.requests["reads"] += 1
            try:
                answer = await self.read(user, lambda: self.count(user) + self.writers, self.count(user))
                self.requests[f"reads answered by {answer}"] += 1
            except CallFailed as error:
                self.errors[str(error)] += 1
                await asyncio.sleep(0.05)
            await asyncio.sleep(PAUSE_S)
