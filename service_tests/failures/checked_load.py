"""Moderate load whose every answer is checked, while something fails: recommendations, and events that are repeated.

Readers have a fixed history each. An answer of the model must be the answer to that history, given in a request, so a
mixed-up user is seen; a fallback must be the popular items, or ten known items. Writers send each event with its id
until it is acknowledged, and then read with `min_history_version`, so a stale answer is seen.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from app.bench.load.json_client import Answer, CallFailed, JsonClient
from service_tests.failures.event_comparison import compare_events, parse_history
from service_tests.failures.fail_over_http import FIRST_S, ITEMS, make_event
from service_tests.failures.retrying_load import list_expected_events

K = 10
ALL_ITEMS = [f"i{number}" for number in range(1, ITEMS + 1)]
"""In order of popularity."""
RETRY_PAUSE_S = 0.05
MAX_EXAMPLES = 5
RETRIED = (429, 503, 504)
ACKNOWLEDGED = ("stored", "duplicate")
STORE_UNAVAILABLE = "store_unavailable"


@dataclass
class Tally:
    """Outcomes of calls. `degraded_at` is the last moment at which an answer was not that of a healthy service."""

    requests: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    error_at: float | None = None
    degraded_at: float | None = None
    slowest_s: float = 0.0

    def record_error(self, kind: str) -> None:
        self.errors[kind] += 1
        self.error_at = self.degraded_at = time.monotonic()

    def record_degraded(self, source: str) -> None:
        self.answers[source] += 1
        self.degraded_at = time.monotonic()

    def record_wrong(self, text: str) -> None:
        self.wrong.append(text)


@dataclass
class CheckedLoad:
    """Clients of the service on `ports`; with several ports, a client moves on when a connection is refused."""

    ports: Sequence[int]
    readers: int = 8
    writers: int = 4
    reads_per_s: float = 160.0
    events_per_s: float = 40.0
    seed: int = 1
    name: str = "load"
    tally: Tally = field(default_factory=Tally)
    acknowledged: Counter[str] = field(default_factory=Counter)
    """Events per writing user; their numbers are 0 to this."""
    _tasks: list["asyncio.Task[None]"] = field(default_factory=list)
    _is_stopping: bool = False

    def __post_init__(self) -> None:
        rng = random.Random(self.seed)
        self.histories = {
            f"{self.name}-reader{number}": [f"i{rng.randrange(1, ITEMS + 1)}" for _ in range(rng.randrange(3, 20))]
            for number in range(5 * self.readers)
        }
        self._answers: dict[tuple[str, str], list[str]] = {}
        self.versions: set[str] = set()

    async def prepare(self) -> None:
        """Store the histories of the readers, and learn the right answers."""
        client = JsonClient(self.ports)
        for user in self.histories:
            await self.store_history(user, client)
            answer = await client.call("POST", "/recommend", self._make_request(history=self.histories[user]))
            assert answer.body["served_by"] == "model", answer
            self._answers[answer.body["model_version"], user] = _list_items(answer)
        client.close()
        different = {tuple(items) for items in self._answers.values()}
        assert len(different) > 0.9 * len(self.histories), "answers of users differ"

    async def store_history(self, user: str, client: JsonClient) -> None:
        events = [
            {"user_id": user, "item_id": item, "timestamp": FIRST_S + number, "event_id": f"{user}e{number}"}
            for number, item in enumerate(self.histories[user])
        ]
        answer = await client.call("POST", "/events", {"events": events})
        assert answer.status == 202, answer
        assert answer.body["failed"] == 0, answer

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._read(number)) for number in range(self.readers)]
        self._tasks += [asyncio.create_task(self._write(number)) for number in range(self.writers)]

    async def stop(self) -> None:
        """Wait until every event that was sent has been acknowledged."""
        self._is_stopping = True
        await asyncio.gather(*self._tasks)

    def raise_failures(self) -> None:
        """Raise the error of a client that ended early, which is a fault of the check itself."""
        for task in self._tasks:
            if task.done():
                task.result()

    def reset(self) -> None:
        """Count from now on only."""
        self.tally = Tally()

    async def compare_histories(self) -> dict[str, int]:
        """Compare the stored events of all writers with the acknowledged ones."""
        client = JsonClient(self.ports)
        stored = {}
        for user in self.acknowledged:
            stored[user] = parse_history((await client.call("GET", f"/users/{user}/history")).body)
        client.close()
        expected = {user: list_expected_events(user, count) for user, count in self.acknowledged.items()}
        return compare_events(expected, stored)

    async def _read(self, number: int) -> None:
        client = self._open_client(number)
        users = list(self.histories)[number :: self.readers]
        interval_s = self.readers / self.reads_per_s
        next_at = time.monotonic() + interval_s * number / self.readers
        turn = 0
        while not self._is_stopping:
            await asyncio.sleep(next_at - time.monotonic())
            next_at = max(next_at + interval_s, time.monotonic())
            user = users[turn % len(users)]
            turn += 1
            answer = await self._call(client, "recommend", "/recommend", self._make_request(user_id=user))
            if answer is not None:
                self._check_reader(user, answer)
        client.close()

    async def _write(self, number: int) -> None:
        client = self._open_client(number)
        user = f"{self.name}-writer{number}"
        interval_s = self.writers / self.events_per_s
        while not self._is_stopping:
            started_at = time.monotonic()
            version = await self._send_event(client, user)
            request = self._make_request(user_id=user, min_history_version=version)
            answer = await self._call(client, "own writes", "/recommend", request)
            if answer is not None and answer.status == 200:
                self.tally.answers[answer.body["served_by"]] += 1
                if answer.body["history_version"] is None or answer.body["history_version"] < version:
                    self.tally.record_wrong(f"{user} wrote version {version}: {answer.body}")
            await asyncio.sleep(interval_s + started_at - time.monotonic())
        client.close()

    async def _send_event(self, client: JsonClient, user: str) -> int:
        event = make_event(user, self.acknowledged[user])
        while True:
            answer = await self._call(client, "events", "/events", {"events": [event]})
            if answer is not None and answer.status == 202:
                result = answer.body["results"][0]
                if result["status"] not in ACKNOWLEDGED:
                    self.tally.record_wrong(f"{event}: {result}")
                self.tally.answers["event"] += 1
                self.acknowledged[user] += 1
                return int(result["history_version"])
            await asyncio.sleep(RETRY_PAUSE_S)

    async def _call(self, client: JsonClient, name: str, path: str, body: Any) -> Answer | None:
        """Return a response of status 200 or 202; None for an error, which is counted."""
        self.tally.requests += 1
        started_at = time.monotonic()
        try:
            answer = await client.call("POST", path, body)
        except CallFailed as error:
            self.tally.record_error(f"{name} {error.kind}")
            await asyncio.sleep(RETRY_PAUSE_S)
            return None
        finally:
            self.tally.slowest_s = max(self.tally.slowest_s, time.monotonic() - started_at)
        if answer.status in (200, 202):
            return answer
        self.tally.record_error(f"{name} {answer.status}")
        if answer.status not in (*RETRIED, 409):
            self.tally.record_wrong(f"{answer.status}: {answer.body}")
        elif answer.status in (429, 503) and "retry-after" not in answer.headers:
            self.tally.record_wrong(f"{answer.status} without Retry-After: {answer.body}")
        return None

    def _check_reader(self, user: str, answer: Answer) -> None:
        source, reason, items = answer.body["served_by"], answer.body["reason"], _list_items(answer)
        if source in ("model", "cache"):
            version = answer.body["model_version"]
            self.versions.add(version)
            expected = self._answers.setdefault((version, user), items)
        elif source == "popularity":
            expected = _find_popular(self.histories[user] if answer.body["history_length"] else [])
        else:
            expected = items
        is_known = len(set(items)) == K and set(items) <= set(ALL_ITEMS)
        if items != expected or not is_known:
            self.tally.record_wrong(f"{user} expected {expected}: {answer.body}")
        if source == "model" and answer.body["history_length"] == len(self.histories[user]):
            self.tally.answers["model"] += 1
        else:
            self.tally.record_degraded(f"{source} ({reason})" if reason else source)

    def _make_request(self, **fields: Any) -> dict[str, Any]:
        return {"k": K, **fields}

    def _open_client(self, number: int) -> JsonClient:
        turn = number % len(self.ports)
        return JsonClient([*self.ports[turn:], *self.ports[:turn]])


def _find_popular(history: Sequence[str]) -> list[str]:
    """List the items for a user when the model cannot answer; an empty history is unknown."""
    return [item for item in ALL_ITEMS if item not in set(history)][:K]


def _list_items(answer: Answer) -> list[str]:
    return [item["item_id"] for item in answer.body["items"]]
