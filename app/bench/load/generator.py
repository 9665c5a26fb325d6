"""The load generator, a separate process so that it shares neither event loop nor GIL with a server.

    python -m app.bench.load.generator <profile >result

Opens the connections of a profile, reconnects lost ones and aborts requests that time out.
"""

import asyncio
import gc
import sys
import time
from collections.abc import Callable
from math import ceil
from time import perf_counter

from app.bench.load.arrivals import ArrivalProcess, ClosedLoop, OpenLoop
from app.bench.load.connection import LoadConnection
from app.bench.load.profile import LoadProfile, LoadResult
from app.bench.load.recorder import LatencyRecorder
from app.bench.load.requests import generate_requests
from app.runtime.subprocesses import write_output

RECONNECT_S = 0.01
"""Pause after a failure, so that a server that refuses connections does not cause a busy loop."""
TIMEOUT_CHECK_S = 0.1
"""How often requests in flight are checked for timeouts."""


async def generate_load(profile: LoadProfile) -> LoadResult:
    """Run a profile until every request has its response or failed, at most `timeout_s` after the window."""
    started_at, cpu_started_at = perf_counter(), time.process_time()
    recorder = LatencyRecorder(started_at + profile.warm_up_s, profile.seconds)
    arrivals = _create_arrivals(profile, recorder)
    open_connections: set[LoadConnection] = set()
    timeout_task = asyncio.create_task(_abort_timed_out(open_connections, profile.timeout_s))
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(_count_connections(profile)):
                group.create_task(_keep_connected(profile, arrivals, recorder, open_connections))
            group.create_task(arrivals.run())
    finally:
        timeout_task.cancel()
    return recorder.to_result(time.process_time() - cpu_started_at, perf_counter() - started_at)


def _create_arrivals(profile: LoadProfile, recorder: LatencyRecorder) -> ArrivalProcess:
    requests = generate_requests(profile)
    if profile.rate is None:
        return ClosedLoop(requests, recorder)
    return OpenLoop(requests, recorder, rate=profile.rate, timeout_s=profile.timeout_s, seed=profile.seed)


def _count_connections(profile: LoadProfile) -> int:
    """Limit an open loop to connections that are idle for at most a second: servers close idle ones after five."""
    if profile.rate is None:
        return profile.connections
    return min(profile.connections, max(1, ceil(profile.rate)))


async def _keep_connected(
    profile: LoadProfile, arrivals: ArrivalProcess, recorder: LatencyRecorder, open_connections: set[LoadConnection]
) -> None:
    """Hold one connection open, reconnecting when it is lost, until the arrival process is finished."""
    loop = asyncio.get_running_loop()
    while not arrivals.is_finished(perf_counter()):
        try:
            async with asyncio.timeout(profile.timeout_s):
                _, connection = await loop.create_connection(
                    lambda: LoadConnection(arrivals, recorder), profile.host, profile.port
                )
        except OSError:  # includes TimeoutError
            recorder.record_failure(perf_counter(), "refused")
        else:
            open_connections.add(connection)
            await connection.closed
            open_connections.discard(connection)
            arrivals.discard(connection)
        await asyncio.sleep(RECONNECT_S)


async def _abort_timed_out(connections: set[LoadConnection], timeout_s: float) -> None:
    """Scan all connections periodically: a timer per request would cost as much as the request."""
    while True:
        await asyncio.sleep(min(TIMEOUT_CHECK_S, timeout_s / 4))
        expired_before = perf_counter() - timeout_s
        for connection in list(connections):
            if connection.sent_at is not None and connection.sent_at < expired_before:
                connection.abort("timeout")


def main() -> None:
    profile = LoadProfile.from_bytes(sys.stdin.buffer.readline())
    gc.freeze()
    gc.disable()  # requests leave no cycles, and a pause of the generator would be attributed to the server
    with asyncio.Runner(loop_factory=_find_loop_factory()) as runner:
        result = runner.run(generate_load(profile))
    write_output(result.to_bytes())


def _find_loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # not available on Windows
        return None
    return uvloop.new_event_loop


if __name__ == "__main__":
    main()
