"""Bytes that are not requests on raw sockets, and which statuses may answer them."""

import asyncio
import random
import re
from collections import Counter

from service_tests.support.raw_client import HOST
from service_tests.support.raw_requests import build_raw_request

PARALLEL = 16
MAX_EXCHANGE_S = 8.0
STATUSES = {0, 100, 200, 202, 204, 400, 403, 404, 405, 408, 409, 413, 415, 421, 422, 429, 431, 503, 504}
"""What the API declares; 0 is a connection that closes without an answer."""
STATUS_LINE = re.compile(rb"HTTP/1\.1 (\d{3}) ")
SILENT_SHARE = 0.005
"""Share of the connections whose client waits for an answer instead of closing its side."""


async def send_bytes(port: int, content: bytes, *, is_silent: bool, max_s: float) -> list[int]:
    """Send bytes on one connection; return the statuses of all answers."""
    async with asyncio.timeout(max_s):
        reader, writer = await asyncio.open_connection(HOST, port)
        try:
            writer.write(content)
            if not is_silent:
                writer.write_eof()
            response = await reader.read()
        except OSError:
            response = b""
        finally:
            writer.close()
    return [int(status) for status in STATUS_LINE.findall(response)]


async def send_seeds(port: int, seeds: range, max_s: float = MAX_EXCHANGE_S) -> Counter[int]:
    """Send the bytes of all seeds; a seed whose answer is not declared, or late, is in the message of the error."""
    statuses: Counter[int] = Counter()
    remaining = iter(seeds)

    async def send_all() -> None:
        for seed in remaining:
            rng = random.Random(seed)
            content = build_raw_request(rng)
            try:
                answers = await send_bytes(port, content, is_silent=rng.random() < SILENT_SHARE, max_s=max_s)
            except TimeoutError:
                raise AssertionError(f"seed {seed} hangs: {content[:500]!r}") from None
            assert STATUSES.issuperset(answers), f"seed {seed} is answered with {answers}: {content[:500]!r}"
            statuses.update(answers or [0])

    async with asyncio.TaskGroup() as group:
        for _ in range(PARALLEL):
            group.create_task(send_all())
    return statuses
