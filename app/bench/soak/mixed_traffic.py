"""All kinds of requests at a steady rate from a fixed set of users, so that a healthy service becomes steady."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.bench.load.json_client import CallFailed, JsonClient
from app.synthetic_users import SOAK_PREFIX

CLIENTS = 8
CALL_TIMEOUT_S = 30.0
"""A call without a response for so long is a hang; a busy machine is slow, which the latencies show."""
EVENTS_PER_CALL = 10
BATCH = 8
K = 10
ALLOWED_STATUSES = frozenset({200, 202, 404, 409, 429, 503, 504})
"""404 is an item that the serving version does not know; the others are declared for overload and outages."""
LOST_KINDS = frozenset({"refused", "reset", "closed", "cut off"})
"""Expected of connections to a worker that is killed."""
Call = tuple[str, str, dict[str, Any] | None]


@dataclass
class TrafficCounts:
    """`latencies_s` are those since they were last taken; `faults` are outcomes that no disturbance explains."""

    calls: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    latencies_s: list[float] = field(default_factory=list)

    def take_latencies(self) -> list[float]:
        latencies, self.latencies_s = self.latencies_s, []
        return latencies


class MixedTraffic:
    """Sends `rate` calls per second on several kept-alive connections until it is cancelled."""

    def __init__(self, port: int, items: Sequence[str], *, rate: float, users: int, seed: int) -> None:
        self.counts = TrafficCounts()
        self._port = port
        self._items = list(items)
        self._users = [f"{SOAK_PREFIX}{number}" for number in range(users)]
        self._rate = rate
        self._rng = random.Random(seed)  # noqa: S311 - load, not a secret
        makers: list[tuple[str, float, Callable[[], Call]]] = [
            ("recommend", 0.55, self._make_recommend),
            ("events", 0.2, self._make_events),
            ("similar", 0.08, self._make_similar),
            ("batch", 0.05, self._make_batch),
            ("history", 0.05, lambda: ("GET", f"/users/{self._pick_user()}/history", None)),
            ("item", 0.03, lambda: ("GET", f"/items/{self._pick_item()}", None)),
            ("merge", 0.02, self._make_merge),
            ("erase", 0.01, lambda: ("DELETE", f"/users/{self._pick_user()}", None)),
            ("models", 0.01, lambda: ("GET", "/models", None)),
        ]
        self._makers = {name: make for name, _, make in makers}
        self._names, self._weights = [name for name, _, _ in makers], [weight for _, weight, _ in makers]

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(CLIENTS):
                group.create_task(self._run_client())

    async def _run_client(self) -> None:
        client = JsonClient([self._port])
        interval_s = CLIENTS / self._rate
        next_at = time.monotonic() + self._rng.random() * interval_s
        try:
            while True:
                await asyncio.sleep(next_at - time.monotonic())
                next_at = max(next_at + interval_s, time.monotonic() - 1.0)
                await self._send(client, self._rng.choices(self._names, self._weights)[0])
        finally:
            client.close()

    async def _send(self, client: JsonClient, name: str) -> None:
        counts, started_at = self.counts, time.monotonic()
        counts.calls[name] += 1
        try:
            answer = await client.call(*self._makers[name](), timeout_s=CALL_TIMEOUT_S)
        except CallFailed as error:
            (counts.lost if error.kind in LOST_KINDS else counts.faults)[f"{name} {error.kind}"] += 1
            return
        counts.statuses[answer.status] += 1
        if answer.status in ALLOWED_STATUSES:
            counts.latencies_s.append(time.monotonic() - started_at)
        else:
            counts.faults[f"{name} {answer.status}"] += 1

    def _pick_user(self) -> str:
        return self._rng.choice(self._users)

    def _pick_item(self) -> str:
        return self._rng.choice(self._items)

    def _make_recommend(self) -> Call:
        body: dict[str, Any] = {"k": self._rng.choice((1, K, 50))}
        if self._rng.random() < 0.8:
            body["user_id"] = self._pick_user()
        else:
            body["history"] = self._rng.choices(self._items, k=self._rng.randint(1, 40))
        if self._rng.random() < 0.1:
            body["exclude"] = self._rng.choices(self._items, k=20)
        if self._rng.random() < 0.05:
            body["explain"] = True
        return "POST", "/recommend", body

    def _make_events(self) -> Call:
        events = [{"user_id": self._pick_user(), "item_id": self._pick_item()} for _ in range(EVENTS_PER_CALL)]
        for event in events[::2]:
            event["event_id"] = f"{self._rng.getrandbits(64):x}"
        return "POST", "/events", {"events": events}

    def _make_similar(self) -> Call:
        return "POST", "/similar", {"item_id": self._pick_item(), "k": K}

    def _make_batch(self) -> Call:
        requests = [{"user_id": self._pick_user(), "k": K} for _ in range(BATCH)]
        return "POST", "/recommend/batch", {"requests": requests}

    def _make_merge(self) -> Call:
        source, target = self._rng.sample(self._users, 2)
        return "POST", f"/users/{target}/merge", {"from": source}
