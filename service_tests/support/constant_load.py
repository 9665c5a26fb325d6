"""Callers that never pause: threads with a connection each, and all that they were answered."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx


@dataclass
class ResponseTally:
    """`failures` are answers that a caller would call a failure, whatever the reason; `versions` counts the others."""

    versions: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    @property
    def success_count(self) -> int:
        return self.versions.total()


@contextmanager
def run_constant_load(url: str, bodies: list[dict[str, Any]], threads: int = 4) -> Iterator[ResponseTally]:
    """Until the block ends; then every request that was begun has its answer in the tally."""
    tally, ended = ResponseTally(), threading.Event()

    def ask(first: int) -> None:
        with httpx.Client(base_url=url, timeout=30, trust_env=False) as http:
            at = first
            while not ended.is_set():
                _count(tally, http, bodies[at % len(bodies)])
                at += 1

    callers = [threading.Thread(target=ask, args=(n,), name=f"caller-{n}") for n in range(threads)]
    for caller in callers:
        caller.start()
    try:
        yield tally
    finally:
        ended.set()
        for caller in callers:
            caller.join()


def _count(tally: ResponseTally, http: httpx.Client, body: dict[str, Any]) -> None:
    try:
        response = http.post("/recommend", json=body)
    except httpx.HTTPError as error:
        tally.failures.append(repr(error))
        return
    if response.status_code != 200 or (answer := response.json())["served_by"] != "model":
        tally.failures.append(f"{response.status_code} {response.text}")
    else:
        tally.versions[answer["model_version"]] += 1
