"""`nextup consume` as a process that a test kills, and a check of what it stored."""

import asyncio
import json
import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.stores.history import HistoryStore
from app.stores.redis.connect import close_redis, open_redis
from service_tests.support.nextup_process import COMMAND, make_environment

START_S = 60.0
STOP_S = 16.0
"""The drain time of 10 s, 5 s to leave the group, and a margin."""
FIRST_MS = 1_700_000_000_000
READY = "consuming"


class ConsumerProcess:
    """A consumer with its log in a file; `end` sends a signal and waits for the exit."""

    def __init__(self, log: Path, data_dir: Path, *arguments: str, **variables: str) -> None:
        self._log = log
        with log.open("xb") as file:
            self.process = subprocess.Popen(
                [*COMMAND, "consume", *arguments, "--metrics-port", "0"],
                env=make_environment(data_dir, **variables),
                stdout=file,
                stderr=file,
                start_new_session=True,
            )

    def wait_for_line(self, text: str) -> None:
        """Wait until this process has logged a text."""
        deadline = time.monotonic() + START_S
        while text not in self.read_log():
            assert self.process.poll() is None, self.read_log()
            assert time.monotonic() < deadline, f"no {text!r} in:\n{self.read_log()}"
            time.sleep(0.02)

    def read_log(self) -> str:
        return self._log.read_text(errors="replace")

    def end(self, number: signal.Signals) -> float:
        """Send a signal and return the seconds until the exit; after SIGTERM the status must be 0."""
        started_at = time.monotonic()
        self.process.send_signal(number)
        status = self.process.wait(STOP_S)
        assert status == (0 if number == signal.SIGTERM else -number), self.read_log()
        return time.monotonic() - started_at

    def kill(self) -> None:
        """End the process if a test has failed before."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(STOP_S)


@dataclass
class EventLoad:
    """Events of some users at a rate, in random order of time, and the histories that they must result in.

    At most `max_messages`, because a slow machine must work them off, and mock brokers hold 5 MB per partition.
    """

    produce: Callable[[Sequence[bytes]], None]
    users: int
    rate: int
    max_messages: int = 20_000
    seed: int = 7
    histories: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    messages: int = 0

    @contextmanager
    def run(self) -> Iterator[None]:
        """Produce in a thread until the block ends."""
        stopping = threading.Event()
        errors: list[BaseException] = []

        def run_load() -> None:
            try:
                self._produce_until(stopping)
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=run_load, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stopping.set()
            thread.join(10)
        assert not errors, errors

    def _produce_until(self, stopping: threading.Event) -> None:
        numbers = random.Random(self.seed)
        step_s = 0.05
        while not stopping.wait(step_s):
            if self.messages >= self.max_messages:
                continue
            batch = [self._make_event(numbers) for _ in range(round(self.rate * step_s))]
            numbers.shuffle(batch)
            self.produce([json.dumps(event).encode() for event in batch])

    def _make_event(self, numbers: random.Random) -> dict[str, Any]:
        """An event whose time is unique among those of its user; half of them have an id."""
        number, user = self.messages, f"u{numbers.randrange(self.users)}"
        item_id, timestamp_ms = f"i{numbers.randrange(1000)}", FIRST_MS + number
        self.messages += 1
        self.histories.setdefault(user, []).append((timestamp_ms, item_id))
        event = {"user_id": user, "item_id": item_id, "timestamp": timestamp_ms}
        return event | {"event_id": f"e{number}"} if number % 2 else event

    def check_histories(self, url: str) -> None:
        """Assert that the store has every event once, in order, and no other."""

        async def read_histories() -> dict[str, list[tuple[int, str | None]]]:
            client = await open_redis(url, timeout_s=10)
            store = HistoryStore(client)
            try:
                return {
                    user: [(event.timestamp_ms, event.item_id) for event in (await store.read_history(user)).events]
                    for user in self.histories
                }
            finally:
                await store.close()
                await close_redis(client)

        stored = asyncio.run(read_histories())
        for user, events in self.histories.items():
            assert stored[user] == sorted(events), f"{user}: {len(stored[user])} of {len(events)} events"
