"""Ray under load: one replica is killed, then all replicas are replaced by a redeployment.

Callers that retry lose no event, every response is correct, and the redeployment fails no request.
"""

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from service_tests.support.nextup_process import find_free_port
from service_tests.support.ray_cluster import RayCluster, needs_ray, run_ray_cluster, wait_for_replicas

CALLERS = 8
REPLICAS = 2
COUNTER = "nextup_recommendations_total{"
HISTORY = ["i7", "i8", "i9"]
TIMEOUT_S = 45.0
"""Time to detect a dead replica and start another one, on a busy machine."""


@dataclass
class Caller:
    """A client that alternates events and recommendations of one user and retries failures with the same event_id."""

    user: str
    expected: list[str]
    items: list[str] = field(default_factory=list)
    """Items of the events sent, in order."""
    acknowledged: int = 0
    requests: int = 0
    failed_at: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    incorrect: list[str] = field(default_factory=list)

    def run(self, url: str, stopping: threading.Event) -> None:
        with httpx.Client(base_url=url, timeout=10, trust_env=False) as http:
            while not stopping.is_set():
                self._send_event(http, stopping)
                self._request_recommendation(http)

    def _send_event(self, http: httpx.Client, stopping: threading.Event) -> None:
        number, item = len(self.items), f"i{len(self.items) * 7 % 60 + 1}"
        self.items.append(item)
        event = {
            "user_id": self.user,
            "item_id": item,
            "timestamp": 1_700_000_000 + number,
            "event_id": f"{self.user}-{number}",
        }
        while (response := self._post(http, "/events", {"events": [event]})) is None:
            if stopping.is_set():
                return
        [result] = response["results"]
        if result["status"] not in {"stored", "duplicate"}:  # duplicate: stored, but the response was lost
            self.incorrect.append(str(result))
        if result["history_version"] != len(self.items):
            self.incorrect.append(f"version {result['history_version']} after {len(self.items)} events")
        self.acknowledged += 1

    def _request_recommendation(self, http: httpx.Client) -> None:
        response = self._post(http, "/recommend", {"history": HISTORY, "k": 5})
        if response is not None and (response["served_by"], extract_items(response)) != ("model", self.expected):
            self.incorrect.append(str(response))
        stored = self._post(http, "/recommend", {"user_id": self.user, "min_history_version": len(self.items)})
        if stored is not None and stored["history_length"] != len(self.items):
            self.incorrect.append(f"{stored['history_length']} of {len(self.items)} events")

    def _post(self, http: httpx.Client, path: str, body: dict[str, Any]) -> dict[str, Any] | None:
        self.requests += 1
        try:
            response = http.post(path, json=body)
        except httpx.TransportError as error:
            self._record_failure(repr(error))
            return None
        if response.status_code >= 500:
            self._record_failure(f"{response.status_code} {response.text[:80]}")
            return None
        if response.status_code not in {200, 202}:
            self.incorrect.append(f"{response.status_code} {response.text}")
            return None
        content: dict[str, Any] = response.json()
        return content

    def _record_failure(self, reason: str) -> None:
        self.failed_at.append(time.monotonic())
        self.failures.append(reason)
        time.sleep(0.05)


def extract_items(response: dict[str, Any]) -> list[str]:
    """Item ids without scores, whose last digits depend on the composition of the batch."""
    return [item["item_id"] for item in response["items"]]


@contextmanager
def run_callers(url: str, callers: list[Caller]) -> Iterator[None]:
    stopping = threading.Event()
    threads = [threading.Thread(target=caller.run, args=(url, stopping), name=caller.user) for caller in callers]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stopping.set()
        for thread in threads:
            thread.join()


def wait_for_more_events(callers: list[Caller], more: int = 10) -> None:
    """Wait until every caller has had `more` further events acknowledged."""
    targets = [caller.acknowledged + more for caller in callers]
    deadline = time.monotonic() + TIMEOUT_S
    while any(caller.acknowledged < target for caller, target in zip(callers, targets, strict=True)):
        assert time.monotonic() < deadline, [caller.failures[-3:] for caller in callers]
        time.sleep(0.05)


def count_recommendations(port: int) -> float:
    """Recommendations of the replica with this metrics port; 0 while there is none."""
    try:
        text = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False, timeout=60).text
    except httpx.TransportError:
        return 0
    return sum(float(line.rsplit(" ")[-1]) for line in text.splitlines() if line.startswith(COUNTER))


def wait_until_all_respond(ports: range) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not all(count_recommendations(port) for port in ports):
        assert time.monotonic() < deadline, "not every replica responds"
        time.sleep(0.1)


def find_free_ports(number: int) -> range:
    """Find consecutive free ports."""
    while True:
        first = find_free_port()
        with suppress(OSError), ExitStack() as stack:
            for port in range(first, first + number):
                stack.enter_context(closing(socket.create_server(("127.0.0.1", port))))
            return range(first, first + number)


def read_stored_items(cluster: RayCluster, user: str) -> list[str]:
    response = httpx.get(f"{cluster.url}/users/{user}/history", trust_env=False, timeout=60)
    assert response.status_code == 200, response.text
    return [event["item_id"] for event in response.json()["events"]]


@needs_ray
@pytest.mark.optional
@pytest.mark.process
@pytest.mark.slow
@pytest.mark.timeout(240)
def test_killed_replica_loses_no_acknowledged_event_and_is_replaced(
    tiny_artifact: Path, redis_url: str, tmp_path: Path
) -> None:
    ports = find_free_ports(REPLICAS)
    variables = {
        "NEXTUP_RAY_METRICS_PORT": str(ports[0]),
        "NEXTUP_REDIS_URL": redis_url,
        "NEXTUP_ARTIFACT": str(tiny_artifact),
        "NEXTUP_ALLOW_ANONYMOUS": "1",
        "NEXTUP_RAY_MIN_REPLICAS": str(REPLICAS),
        "NEXTUP_RAY_MAX_REPLICAS": str(REPLICAS),
        "NEXTUP_RAY_HEALTH_CHECK_PERIOD_S": "1",
    }
    with run_ray_cluster(tmp_path, **variables) as cluster:
        first = wait_for_replicas(cluster, REPLICAS, other_than=set(), timeout_s=TIMEOUT_S)
        body = {"history": HISTORY, "k": 5}
        response = httpx.post(f"{cluster.url}/recommend", json=body, trust_env=False, timeout=60)
        callers = [Caller(f"user-{n}", extract_items(response.json())) for n in range(CALLERS)]
        with run_callers(cluster.url, callers):
            wait_until_all_respond(ports)
            before = [failure for caller in callers for failure in caller.failures]
            killed_at = time.monotonic()
            os.kill(min(first), signal.SIGKILL)
            wait_for_replicas(cluster, 1, other_than=first, timeout_s=TIMEOUT_S)
            replaced_at = time.monotonic()
            wait_until_all_respond(ports)
            recovered_at = time.monotonic()
            errors = [failed_at for caller in callers for failed_at in caller.failed_at]
            second = cluster.find_replicas()
            redeploy_s = cluster.redeploy()
            wait_for_replicas(cluster, REPLICAS, other_than=second, timeout_s=TIMEOUT_S)
            wait_for_more_events(callers)
        stored = {caller.user: read_stored_items(cluster, caller.user) for caller in callers}
    failures = [failure for caller in callers for failure in caller.failures]
    figures = {
        **cluster.steps_s,
        "requests": sum(caller.requests for caller in callers),
        "events": sum(caller.acknowledged for caller in callers),
        "errors": len(errors),
        "last_error_s": max(errors, default=killed_at) - killed_at,
        "replaced_s": replaced_at - killed_at,
        "recovered_s": recovered_at - killed_at,
        "redeploy_s": redeploy_s,
        "errors_of_redeployment": len(failures) - len(errors),
        "failures": sorted(set(failures)),
    }
    print(json.dumps(figures))
    assert before == []
    assert [response for caller in callers for response in caller.incorrect] == []
    assert len(failures) == len(errors), "the redeployment fails no request"
    for caller in callers:
        assert stored[caller.user][: caller.acknowledged] == caller.items[: caller.acknowledged], (
            "no acknowledged event is lost"
        )
        assert stored[caller.user] == caller.items[: len(stored[caller.user])], "each event took effect once"
