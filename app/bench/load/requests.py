"""The requests of a plan as bytes on the wire, reads and writes mixed by their share.

Knows HTTP as far as a POST with a JSON body goes. When a request is sent is the business of `arrivals.py`.
"""

import random
from collections.abc import Iterator
from itertools import cycle
from typing import NamedTuple

from app.bench.load.profile import LoadProfile


class LoadRequest(NamedTuple):
    content: bytes
    is_write: bool


def generate_requests(plan: LoadProfile) -> Iterator[LoadRequest]:
    """Without end: bodies in their order, and events in theirs in between, drawn by the plan's seed."""
    reads = cycle([LoadRequest(encode_request(plan, plan.path, body), False) for body in plan.bodies])
    if not plan.write_share:
        return reads
    writes = cycle([LoadRequest(encode_request(plan, plan.events_path, body), True) for body in plan.events])
    return _mixed(reads, writes, plan.write_share, random.Random(plan.seed))  # noqa: S311 - load, not a secret


def _mixed(
    reads: Iterator[LoadRequest], writes: Iterator[LoadRequest], share: float, rng: random.Random
) -> Iterator[LoadRequest]:
    while True:
        yield next(writes) if rng.random() < share else next(reads)


def encode_request(plan: LoadProfile, path: str, body: str) -> bytes:
    host = f"[{plan.host}]" if ":" in plan.host else plan.host
    content = body.encode()
    head = (
        f"POST {path} HTTP/1.1\r\nhost: {host}:{plan.port}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n"
    )
    return head.encode("ascii") + content
