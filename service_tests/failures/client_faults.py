"""Clients that harm a service: too many requests, silent connections, huge headers."""

import asyncio
from contextlib import suppress

from app.bench.load.json_client import HOST
from app.bench.load.profile import LoadProfile
from app.bench.serve.rounds import run_generator
from service_tests.failures.fault_scene import Scene

CONNECTIONS, OVERLOAD_CONNECTIONS, TIMEOUT_S = 64, 1500, 5.0
CAPACITY_S, OVERLOAD_S = 4.0, 20.0
OVERLOAD_FACTOR = 3.0
SILENT_CONNECTIONS, SILENCE_S = 1200, 8.0
HEADER_CLIENTS, HEADER_BYTES = 4, 60_000_000
PART_BYTES = 1 << 16


async def overload(scene: Scene) -> None:
    """Measure the capacity in a closed loop, then offer three times as much in an open loop."""
    capacity = await asyncio.to_thread(run_generator, _make_profile(scene, None, CAPACITY_S))
    profile = _make_profile(scene, OVERLOAD_FACTOR * capacity.rate, OVERLOAD_S)
    scene.load.reset()
    await asyncio.to_thread(run_generator, profile)
    scene.mark_repaired()


async def hold_silent_connections(scene: Scene) -> None:
    """Open connections that send nothing, more than the service may have."""
    writers = []
    for _ in range(SILENT_CONNECTIONS):
        with suppress(OSError):
            writers.append((await asyncio.open_connection(HOST, scene.service.port))[1])
    await asyncio.sleep(SILENCE_S)
    for writer in writers:
        writer.close()
    scene.mark_repaired()


async def send_huge_headers(scene: Scene) -> None:
    await asyncio.gather(*(_send_header(scene.service.port) for _ in range(HEADER_CLIENTS)))
    scene.mark_repaired()


async def _send_header(port: int) -> None:
    with suppress(OSError):
        reader, writer = await asyncio.open_connection(HOST, port)
        try:
            writer.write(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX: ")
            for _ in range(HEADER_BYTES // PART_BYTES):
                writer.write(b"a" * PART_BYTES)
                await writer.drain()
            await reader.read()
        finally:
            writer.close()


def _make_profile(scene: Scene, rate: float | None, seconds: float) -> LoadProfile:
    bodies = tuple(f'{{"user_id": "{user}", "k": 10}}' for user in scene.load.histories)
    return LoadProfile(
        host=HOST,
        port=scene.service.port,
        path="/recommend",
        bodies=bodies,
        connections=CONNECTIONS if rate is None else OVERLOAD_CONNECTIONS,
        warm_up_s=0.5,
        seconds=seconds,
        timeout_s=TIMEOUT_S,
        rate=rate,
    )
