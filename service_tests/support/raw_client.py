"""Clients that send bytes rather than requests, and a probe that measures how long a service does not answer."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

HOST = "127.0.0.1"


async def exchange(port: int, *parts: bytes, pause_s: float = 0.0, timeout_s: float = 20.0) -> bytes:
    """Send the parts with pauses, and return all bytes until the service closes the connection."""
    async with asyncio.timeout(timeout_s):
        reader, writer = await asyncio.open_connection(HOST, port)
        receiving = asyncio.ensure_future(reader.read())
        try:
            for part in parts:
                writer.write(part)
                await writer.drain()
                await asyncio.wait([receiving], timeout=pause_s)
            return await receiving
        except ConnectionError:
            return receiving.result() if receiving.done() and not receiving.exception() else b""
        finally:
            receiving.cancel()
            writer.close()


async def read_response(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Read one response with a length; return its status and body."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = int(head.split("content-length: ")[1].split("\r\n")[0])
    return int(head.split(" ")[1]), await reader.readexactly(length)


@dataclass
class Probe:
    """Latencies of health checks, in seconds."""

    latencies_s: list[float] = field(default_factory=list)


@asynccontextmanager
async def probe_liveness(port: int, every_s: float = 0.002) -> AsyncIterator[Probe]:
    """Ask /livez again and again on one connection while the block runs."""
    probe = Probe()
    reader, writer = await asyncio.open_connection(HOST, port)

    async def ask() -> None:
        while True:
            started_at = time.perf_counter()
            writer.write(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await read_response(reader)
            probe.latencies_s.append(time.perf_counter() - started_at)
            await asyncio.sleep(every_s)

    task = asyncio.ensure_future(ask())
    await asyncio.sleep(0.05)
    try:
        yield probe
    finally:
        await asyncio.sleep(0.05)
        if task.done():
            task.result()
        task.cancel()
        writer.close()


def get_status(response: bytes) -> int:
    """Status of the first response; 0 if there is none."""
    return int(response.split(b" ", 2)[1]) if response.startswith(b"HTTP/1.1 ") else 0


def read_memory(pid: int) -> int:
    """Resident bytes of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


def count_files(pid: int) -> int:
    """Open files of a process."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


async def wait_for(condition: Callable[[], bool], timeout_s: float) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - another process decides
            await asyncio.sleep(0.05)
