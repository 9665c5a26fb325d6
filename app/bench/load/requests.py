"""Requests of a load profile: users sampled by weight, JSON bodies, and their bytes on the wire.

`arrivals.py` decides when a request is sent.
"""

import json
import random
from collections.abc import Iterator, Sequence
from itertools import cycle
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.bench.load.profile import LoadProfile


class LoadRequest(NamedTuple):
    content: bytes
    is_write: bool


def sample_by_weight(names: Sequence[str], weights: NDArray[np.float64] | None, count: int, seed: int) -> list[str]:
    """Sample `count` names with replacement, by weight (n,) ≥ 0 or uniformly."""
    rng = np.random.default_rng(seed)
    probabilities = None if weights is None else weights / weights.sum()
    return [names[index] for index in rng.choice(len(names), size=count, p=probabilities).tolist()]


def build_read_bodies(users: Sequence[str], k: int, item_filter: Any = None, rules: Any = None) -> tuple[str, ...]:
    """Build one /recommend body per user, with the filter and the rules if there are some."""
    common = {"k": k, **(rules or {})} | ({} if item_filter is None else {"filter": item_filter})
    return tuple(json.dumps({"user_id": user, **common}) for user in users)


def build_write_bodies(users: Sequence[str], items: Sequence[str]) -> tuple[str, ...]:
    """Build /events bodies of one event each, which happens when it is sent."""
    return tuple(
        json.dumps({"events": [{"user_id": user, "item_id": item}]}) for user, item in zip(users, items, strict=True)
    )


def generate_requests(profile: LoadProfile) -> Iterator[LoadRequest]:
    """Cycle through the bodies without end, with events interleaved at random by `write_share`."""
    reads = cycle([LoadRequest(encode_request(profile, profile.path, body), False) for body in profile.bodies])
    if not profile.write_share:
        return reads
    writes = cycle([LoadRequest(encode_request(profile, profile.events_path, body), True) for body in profile.events])
    return _mix_requests(reads, writes, profile.write_share, random.Random(profile.seed))  # noqa: S311 - no secret


def _mix_requests(
    reads: Iterator[LoadRequest], writes: Iterator[LoadRequest], write_share: float, rng: random.Random
) -> Iterator[LoadRequest]:
    while True:
        yield next(writes) if rng.random() < write_share else next(reads)


def encode_request(profile: LoadProfile, path: str, body: str) -> bytes:
    """Encode an HTTP/1.1 POST request with a JSON body."""
    host = f"[{profile.host}]" if ":" in profile.host else profile.host
    content = body.encode()
    head = (
        f"POST {path} HTTP/1.1\r\nhost: {host}:{profile.port}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n"
    )
    return head.encode("ascii") + content
