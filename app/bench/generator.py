"""The load generator: a process of its own, so that it shares neither event loop nor interpreter lock with a server.

    python -m app.bench.generator <plan >tally

Opens the connections of a plan, opens them again when they are lost, and ends requests that take too long. It knows
HTTP and no more of the service than two names in an answer.
"""

import asyncio
import gc
import sys
import time
from collections.abc import Callable, Iterator
from itertools import cycle
from time import perf_counter

from app.bench.connection import Connection
from app.bench.plan import Plan, Tally
from app.bench.recorder import Recorder

RECONNECT_S = 0.01
"""Pause after a failure, so that a server which refuses is not asked in a busy loop."""
LOOK_EVERY_S = 0.1
"""How often requests that take too long are looked for."""


async def generate(plan: Plan) -> Tally:
    """Run a plan; returns when every request was answered or given up, at most `timeout_s` after the window."""
    began, cpu_began = perf_counter(), time.process_time()
    recorder = Recorder(began + plan.warm_up_s, plan.seconds)
    requests = cycle([request_bytes(plan, body) for body in plan.bodies])
    open_connections: set[Connection] = set()
    watch = asyncio.create_task(_end_the_slow(open_connections, plan.timeout_s))
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(plan.connections):
                group.create_task(_keep_busy(plan, requests, recorder, open_connections))
    finally:
        watch.cancel()
    return recorder.tally(time.process_time() - cpu_began, perf_counter() - began)


def request_bytes(plan: Plan, body: str) -> bytes:
    host = f"[{plan.host}]" if ":" in plan.host else plan.host
    content = body.encode()
    head = (
        f"POST {plan.path} HTTP/1.1\r\nhost: {host}:{plan.port}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n"
    )
    return head.encode("ascii") + content


async def _keep_busy(plan: Plan, requests: Iterator[bytes], recorder: Recorder, shared: set[Connection]) -> None:
    """One place of the closed loop: a connection, and another one when it is lost, until the window closes."""
    loop = asyncio.get_running_loop()
    while perf_counter() < recorder.closes_at:
        try:
            async with asyncio.timeout(plan.timeout_s):
                _, connection = await loop.create_connection(
                    lambda: Connection(requests, recorder), plan.host, plan.port
                )
        except OSError:  # TimeoutError is one
            recorder.failure(perf_counter(), "refused")
        else:
            shared.add(connection)
            await connection.closed
            shared.discard(connection)
        await asyncio.sleep(RECONNECT_S)


async def _end_the_slow(connections: set[Connection], timeout_s: float) -> None:
    """One look at all of them now and then: a timer per request would cost as much as the request."""
    while True:
        await asyncio.sleep(min(LOOK_EVERY_S, timeout_s / 4))
        late = perf_counter() - timeout_s
        for connection in list(connections):
            if connection.sent_at is not None and connection.sent_at < late:
                connection.give_up("timeout")


def main() -> None:
    plan = Plan.read(sys.stdin.buffer.readline())
    gc.freeze()
    gc.disable()  # a request leaves no cycle behind, and a pause of ours would be taken for the server's
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        tally = runner.run(generate(plan))
    sys.stdout.buffer.write(tally.written())


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # not on Windows
        return None
    return uvloop.new_event_loop


if __name__ == "__main__":
    main()
