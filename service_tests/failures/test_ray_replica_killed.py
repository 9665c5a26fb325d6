"""Ray under load: a replica is killed, and then every replica is replaced in order. Callers that repeat what failed
lose nothing, every answer is right, and what ends in order fails nobody.
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
from service_tests.support.ray_cluster import RayCluster, needs_ray, ray_cluster, until_there

CALLERS = 8
REPLICAS = 2
COUNTED = "nextup_recommendations_total{"
HISTORY = ["i7", "i8", "i9"]
WITHIN_S = 45.0
"""A replica is given up and another one started, on a busy machine."""


@dataclass
class Caller:
    """One user's client: an event, a recommendation, and again. What fails is sent again under the same event_id."""

    user: str
    expected: list[str]
    sent: list[str] = field(default_factory=list)
    """Items, by the place of their event."""
    acknowledged: int = 0
    requests: int = 0
    failed_at: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def go_on(self, url: str, ended: threading.Event) -> None:
        with httpx.Client(base_url=url, timeout=10, trust_env=False) as http:
            while not ended.is_set():
                self._event(http, ended)
                self._recommendation(http)

    def _event(self, http: httpx.Client, ended: threading.Event) -> None:
        number, item = len(self.sent), f"i{len(self.sent) * 7 % 60 + 1}"
        self.sent.append(item)
        event = {
            "user_id": self.user,
            "item_id": item,
            "timestamp": 1_700_000_000 + number,
            "event_id": f"{self.user}-{number}",
        }
        while (answer := self._asked(http, "/events", {"events": [event]})) is None:
            if ended.is_set():
                return
        [result] = answer["results"]
        if result["status"] not in {"stored", "duplicate"}:  # duplicate: it was stored, and its answer was lost
            self.wrong.append(str(result))
        if result["history_version"] != len(self.sent):
            self.wrong.append(f"version {result['history_version']} after {len(self.sent)} events")
        self.acknowledged += 1

    def _recommendation(self, http: httpx.Client) -> None:
        answer = self._asked(http, "/recommend", {"history": HISTORY, "k": 5})
        if answer is not None and (answer["served_by"], items_of(answer)) != ("model", self.expected):
            self.wrong.append(str(answer))
        own = self._asked(http, "/recommend", {"user_id": self.user, "min_history_version": len(self.sent)})
        if own is not None and own["history_length"] != len(self.sent):
            self.wrong.append(f"{own['history_length']} of {len(self.sent)} events")

    def _asked(self, http: httpx.Client, path: str, body: dict[str, Any]) -> dict[str, Any] | None:
        self.requests += 1
        try:
            response = http.post(path, json=body)
        except httpx.TransportError as error:
            self._failed(repr(error))
            return None
        if response.status_code >= 500:
            self._failed(f"{response.status_code} {response.text[:80]}")
            return None
        if response.status_code not in {200, 202}:
            self.wrong.append(f"{response.status_code} {response.text}")
            return None
        answer: dict[str, Any] = response.json()
        return answer

    def _failed(self, how: str) -> None:
        self.failed_at.append(time.monotonic())
        self.failures.append(how)
        time.sleep(0.05)


def items_of(answer: dict[str, Any]) -> list[str]:
    """Without scores, whose last digits depend on who shares the batch."""
    return [item["item_id"] for item in answer["items"]]


@contextmanager
def constant_load(url: str, callers: list[Caller]) -> Iterator[None]:
    ended = threading.Event()
    threads = [threading.Thread(target=caller.go_on, args=(url, ended), name=caller.user) for caller in callers]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def until_more(callers: list[Caller], more: int = 10) -> None:
    """Every caller has had so many more events acknowledged."""
    wanted = [caller.acknowledged + more for caller in callers]
    end = time.monotonic() + WITHIN_S
    while any(caller.acknowledged < count for caller, count in zip(callers, wanted, strict=True)):
        assert time.monotonic() < end, [caller.failures[-3:] for caller in callers]
        time.sleep(0.05)


def answered(port: int) -> float:
    """Recommendations that the replica with this port of metrics has given; 0 while there is none."""
    try:
        text = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text
    except httpx.TransportError:
        return 0
    return sum(float(line.rsplit(" ")[-1]) for line in text.splitlines() if line.startswith(COUNTED))


def until_all_answer(ports: range) -> None:
    end = time.monotonic() + WITHIN_S
    while not all(answered(port) for port in ports):
        assert time.monotonic() < end, "not every replica answers"
        time.sleep(0.1)


def free_ports(number: int) -> range:
    """Neighbours."""
    while True:
        first = find_free_port()
        with suppress(OSError), ExitStack() as held:
            for port in range(first, first + number):
                held.enter_context(closing(socket.create_server(("127.0.0.1", port))))
            return range(first, first + number)


def stored_events(cluster: RayCluster, user: str) -> list[str]:
    answer = httpx.get(f"{cluster.url}/users/{user}/history", trust_env=False)
    assert answer.status_code == 200, answer.text
    return [event["item_id"] for event in answer.json()["events"]]


@needs_ray
@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_killed_replica_loses_no_acknowledged_event_and_is_replaced(
    tiny_artifact: Path, redis_url: str, tmp_path: Path
) -> None:
    ports = free_ports(REPLICAS)
    variables = {
        "NEXTUP_RAY_METRICS_PORT": str(ports[0]),
        "NEXTUP_REDIS_URL": redis_url,
        "NEXTUP_ARTIFACT": str(tiny_artifact),
        "NEXTUP_ALLOW_ANONYMOUS": "1",
        "NEXTUP_RAY_MIN_REPLICAS": str(REPLICAS),
        "NEXTUP_RAY_MAX_REPLICAS": str(REPLICAS),
        "NEXTUP_RAY_HEALTH_CHECK_PERIOD_S": "1",
    }
    with ray_cluster(tmp_path, **variables) as cluster:
        first = until_there(cluster, REPLICAS, other_than=set(), within_s=WITHIN_S)
        body = {"history": HISTORY, "k": 5}
        asked = httpx.post(f"{cluster.url}/recommend", json=body, trust_env=False)
        callers = [Caller(f"user-{n}", items_of(asked.json())) for n in range(CALLERS)]
        with constant_load(cluster.url, callers):
            until_all_answer(ports)
            before = [failure for caller in callers for failure in caller.failures]
            killed_at = time.monotonic()
            os.kill(min(first), signal.SIGKILL)
            until_there(cluster, 1, other_than=first, within_s=WITHIN_S)
            replaced_at = time.monotonic()
            until_all_answer(ports)
            recovered_at = time.monotonic()
            errors = [moment for caller in callers for moment in caller.failed_at]
            second = cluster.replicas()
            anew_s = cluster.deploy_anew()
            until_there(cluster, REPLICAS, other_than=second, within_s=WITHIN_S)
            until_more(callers)
        stored = {caller.user: stored_events(cluster, caller.user) for caller in callers}
    failures = [failure for caller in callers for failure in caller.failures]
    figures = {
        **cluster.steps_s,
        "requests": sum(caller.requests for caller in callers),
        "events": sum(caller.acknowledged for caller in callers),
        "errors": len(errors),
        "last_error_s": max(errors, default=killed_at) - killed_at,
        "replaced_s": replaced_at - killed_at,
        "recovered_s": recovered_at - killed_at,
        "anew_s": anew_s,
        "errors_anew": len(failures) - len(errors),
        "failures": sorted(set(failures)),
    }
    print(json.dumps(figures))
    assert before == []
    assert [wrong for caller in callers for wrong in caller.wrong] == []
    assert len(failures) == len(errors), "replicas that are replaced in order fail nobody"
    for caller in callers:
        assert stored[caller.user][: caller.acknowledged] == caller.sent[: caller.acknowledged], "none is lost"
        assert stored[caller.user] == caller.sent[: len(stored[caller.user])], "and each took effect once"
