"""Clients that do not keep to the protocol: slow bodies, resets, nonsense, silence, heads without an end."""

import asyncio
import random
import socket
import struct
from collections import Counter
from contextlib import suppress

from app.bench.processes import LOOPBACK

PAUSE_S = 0.2
"""Between two of them."""
PATIENCE_S = 8.0
"""How long each waits for the service to end the connection."""
MAX_OPEN = 100
HEAD = b"POST /recommend HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class BadClients:
    """Opens one bad connection after the other until it is cancelled; `counts` has their kinds."""

    def __init__(self, port: int, seed: int) -> None:
        self.counts: Counter[str] = Counter()
        self._port = port
        self._rng = random.Random(seed)  # noqa: S311 - load, not a secret

    async def run(self) -> None:
        kinds = {
            "slow body": HEAD + b"Content-Length: 5000\r\n\r\n{",
            "half head": HEAD,
            "silent": b"",
            "reset": HEAD + b'Content-Length: 16\r\n\r\n{"history": ["1"]}',
            "huge head": HEAD + b"X: " + b"x" * 100_000,
            "wrong body": HEAD + b"Content-Length: 9\r\n\r\n[[[[[{{{{",
            "pipelined": (HEAD + b'Content-Length: 16\r\n\r\n{"history": []} ') * 100,
        }
        async with asyncio.TaskGroup() as group:
            open_tasks: set[asyncio.Task[None]] = set()
            while True:
                await asyncio.sleep(PAUSE_S)
                if len(open_tasks) >= MAX_OPEN:
                    continue
                kind = self._rng.choice([*kinds, "nonsense"])
                content = kinds.get(kind) or self._rng.randbytes(200) * (kind == "nonsense")
                task = group.create_task(self._connect(content, is_reset=kind == "reset"))
                open_tasks.add(task)
                task.add_done_callback(open_tasks.discard)
                self.counts[kind] += 1

    async def _connect(self, content: bytes, *, is_reset: bool) -> None:
        with suppress(OSError):  # includes TimeoutError: the connection is closed here
            async with asyncio.timeout(PATIENCE_S):
                reader, writer = await asyncio.open_connection(LOOPBACK, self._port)
                try:
                    writer.write(content)
                    if is_reset:
                        connection: socket.socket = writer.get_extra_info("socket")
                        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
                    else:
                        await reader.read()
                finally:
                    writer.close()
