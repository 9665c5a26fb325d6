"""The load generator: a process of its own, so that it shares neither event loop nor interpreter lock with a server.

    python -m app.bench.load.generator <plan >tally

Opens the connections of a plan, opens them again when they are lost, and ends requests that take too long. It knows
HTTP and no more of the service than two names in an answer.
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

RECONNECT_S = 0.01
"""Pause after a failure, so that a server which refuses is not asked in a busy loop."""
LOOK_EVERY_S = 0.1
"""How often requests that take too long are looked for."""


async def generate_load(plan: LoadProfile) -> LoadResult:
    """Run a plan; returns when every request was answered or given up, at most `timeout_s` after the window."""
    began, cpu_began = perf_counter(), time.process_time()
    recorder = LatencyRecorder(began + plan.warm_up_s, plan.seconds)
    arrivals = _arrivals(plan, recorder)
    open_connections: set[LoadConnection] = set()
    watch = asyncio.create_task(_end_the_slow(open_connections, plan.timeout_s))
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(_connections(plan)):
                group.create_task(_keep_busy(plan, arrivals, recorder, open_connections))
            group.create_task(arrivals.run())
    finally:
        watch.cancel()
    return recorder.to_result(time.process_time() - cpu_began, perf_counter() - began)


def _arrivals(plan: LoadProfile, recorder: LatencyRecorder) -> ArrivalProcess:
    if plan.rate is None:
        return ClosedLoop(generate_requests(plan), recorder)
    return OpenLoop(generate_requests(plan), recorder, rate=plan.rate, timeout_s=plan.timeout_s, seed=plan.seed)


def _connections(plan: LoadProfile) -> int:
    """In an open loop none that would be idle for more than a second: servers close those after five."""
    return plan.connections if plan.rate is None else min(plan.connections, max(1, ceil(plan.rate)))


async def _keep_busy(
    plan: LoadProfile, arrivals: ArrivalProcess, recorder: LatencyRecorder, shared: set[LoadConnection]
) -> None:
    """One place: a connection, and another one when it is lost, until nothing more is due."""
    loop = asyncio.get_running_loop()
    while not arrivals.is_finished(perf_counter()):
        try:
            async with asyncio.timeout(plan.timeout_s):
                _, connection = await loop.create_connection(
                    lambda: LoadConnection(arrivals, recorder), plan.host, plan.port
                )
        except OSError:  # TimeoutError is one
            recorder.record_failure(perf_counter(), "refused")
        else:
            shared.add(connection)
            await connection.closed
            shared.discard(connection)
            arrivals.discard(connection)
        await asyncio.sleep(RECONNECT_S)


async def _end_the_slow(connections: set[LoadConnection], timeout_s: float) -> None:
    """One look at all of them now and then: a timer per request would cost as much as the request."""
    while True:
        await asyncio.sleep(min(LOOK_EVERY_S, timeout_s / 4))
        late = perf_counter() - timeout_s
        for connection in list(connections):
            if connection.sent_at is not None and connection.sent_at < late:
                connection.abort("timeout")


def main() -> None:
    plan = LoadProfile.from_bytes(sys.stdin.buffer.readline())
    gc.freeze()
    gc.disable()  # a request leaves no cycle behind, and a pause of ours would be taken for the server's
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        tally = runner.run(generate_load(plan))
    sys.stdout.buffer.write(tally.to_bytes())


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # not on Windows
        return None
    return uvloop.new_event_loop


if __name__ == "__main__":
    main()
