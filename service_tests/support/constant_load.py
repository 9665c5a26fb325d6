"""Closed-loop load: threads with one connection each that request without a pause, and a tally of the responses."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

LONG_DEADLINE = {"NEXTUP_REQUEST_DEADLINE_MS": "10000"}
"""Variables of a service that must answer every request: a busy machine may stop a process for the default second."""


@dataclass
class ResponseTally:
    """`failures` are responses that the model did not answer, whatever the reason; `versions` counts the others."""

    versions: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    @property
    def success_count(self) -> int:
        return self.versions.total()


@contextmanager
def run_constant_load(url: str, bodies: list[dict[str, Any]], threads: int = 4) -> Iterator[ResponseTally]:
    """Request recommendations until the block ends; then the tally contains every request that was sent."""
    tally, is_stopping = ResponseTally(), threading.Event()

    def send_requests(start: int) -> None:
        with httpx.Client(base_url=url, timeout=30, trust_env=False) as http:
            position = start
            while not is_stopping.is_set():
                _send_request(tally, http, bodies[position % len(bodies)])
                position += 1

    callers = [threading.Thread(target=send_requests, args=(n,), name=f"caller-{n}") for n in range(threads)]
    for caller in callers:
        caller.start()
    try:
        yield tally
    finally:
        is_stopping.set()
        for caller in callers:
            caller.join()


def _send_request(tally: ResponseTally, http: httpx.Client, body: dict[str, Any]) -> None:
    try:
        response = http.post("/recommend", json=body)
    except httpx.HTTPError as error:
        tally.failures.append(repr(error))
        return
    if response.status_code != 200 or (answer := response.json())["served_by"] != "model":
        tally.failures.append(f"{response.status_code} {response.text}")
    else:
        tally.versions[answer["model_version"]] += 1
