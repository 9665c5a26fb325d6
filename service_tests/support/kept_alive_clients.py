"""Clients that keep their connections open and request without a pause, as those of a load balancer do."""

import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

BODY = json.dumps({"history": ["i1", "i2"], "k": 3})
TIMEOUT_S = 30.0


@dataclass
class Traffic:
    """Outcomes of all requests.

    `dropped` lists requests that were sent and not answered, and connections that were neither accepted nor refused.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)
    dropped: list[str] = field(default_factory=list)
    refused: int = 0
    slowest_s: float = 0.0


class _Client(threading.Thread):
    def __init__(self, url: str, traffic: Traffic, stopping: threading.Event) -> None:
        super().__init__(daemon=True)
        address = urlsplit(url)
        assert address.hostname is not None
        self._connection = http.client.HTTPConnection(address.hostname, address.port, timeout=TIMEOUT_S)
        self._traffic = traffic
        self._stopping = stopping

    def run(self) -> None:
        while not self._stopping.is_set():
            self._send()
        self._connection.close()

    def _send(self) -> None:
        started_at = time.monotonic()
        try:
            if self._connection.sock is None:
                self._connection.connect()
        except ConnectionRefusedError:
            self._traffic.refused += 1
            self._stopping.wait(0.05)
            return
        except OSError as error:
            self._traffic.dropped.append(f"connect: {error!r}")
            return
        try:
            self._connection.request("POST", "/recommend", BODY, {"content-type": "application/json"})
            response = self._connection.getresponse()
            answer = json.loads(response.read())
        except (OSError, http.client.HTTPException) as error:
            self._traffic.dropped.append(f"{time.monotonic() - started_at:.2f} s: {error!r}")
            self._connection.close()
            return
        self._traffic.statuses[response.status] += 1
        self._traffic.sources[answer.get("served_by", answer.get("title"))] += 1
        self._traffic.slowest_s = max(self._traffic.slowest_s, time.monotonic() - started_at)


@contextmanager
def send_traffic(url: str, clients: int) -> Iterator[Traffic]:
    """Send requests from so many connections until the block ends."""
    traffic, stopping = Traffic(), threading.Event()
    threads = [_Client(url, traffic, stopping) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield traffic
    finally:
        stopping.set()
        for thread in threads:
            thread.join()
