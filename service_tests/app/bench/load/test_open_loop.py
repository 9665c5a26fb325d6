"""An open loop sends at its rate whatever the server does, and hides no wait."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from app.bench.load.generator import generate_load
from app.bench.processes import find_free_port
from service_tests.app.bench.serve.served import LONG_S, STOP_S, Server, served
from service_tests.app.bench.serve.tallies import PLAN

pytestmark = pytest.mark.anyio


async def test_requests_come_at_the_rate_and_not_as_fast_as_the_server_can() -> None:
    server = Server()
    async with served(server, "a", "b") as plan:
        tally = await generate_load(replace(plan, rate=200.0, seconds=1.0))
    assert tally.errors == 0
    assert 140 < tally.all_answers < 260, "Poisson with a mean of 200, four standard deviations"
    assert tally.all_answers == server.requests.total() == len(tally.latencies_s)


async def test_who_would_have_come_while_the_server_stood_still_has_waited() -> None:
    """In a closed loop one request per connection would have been slow, here all that were due in that time."""
    server = Server()
    async with served(server, *["a"] * 60, "stops the world", *["a"] * 500) as plan:
        plan = replace(plan, rate=200.0, seconds=1.0, connections=2)
        open_loop = await generate_load(plan)
        server.requests.clear()
        closed_loop = await generate_load(replace(plan, rate=None))
    waited = int((open_loop.latencies_s > STOP_S / 2).sum())
    assert waited > 0.3 * 200 * STOP_S / 2, "of those due in the first half of the stop"
    assert open_loop.latencies_s.max() >= STOP_S
    assert (closed_loop.latencies_s > STOP_S / 2).sum() <= plan.connections * server.requests["stops the world"]


async def test_a_server_that_is_too_slow_is_told_as_waits_and_timeouts_for_every_request_that_was_due() -> None:
    server = Server()
    async with served(server, "long") as plan, asyncio.timeout(20):
        tally = await generate_load(replace(plan, rate=200.0, seconds=1.0, connections=2, timeout_s=0.5))
    assert server.requests.total() < 1.6 * 2 / LONG_S, "two connections can do no more"
    assert tally.failures["timeout"] > 50
    assert set(tally.failures) == {"timeout"}
    assert 140 < tally.all_answers + tally.failures["timeout"] < 260, "none is left out"
    assert np.median(tally.latencies_s) > 3 * LONG_S


async def test_reads_and_writes_are_mixed_and_told_apart() -> None:
    server = Server()
    async with served(server, "a") as plan:
        events = ('{"user_id": "202"}',)
        mixed = replace(plan, rate=300.0, seconds=1.0, events=events, write_share=0.25)
        tally = await generate_load(mixed)
    assert server.paths == {"/recommend": len(tally.latencies_s), "/events": len(tally.write_latencies_s)}
    assert tally.errors == 0, "202 is an answer"
    assert 0 < tally.ok_writes <= len(tally.write_latencies_s)
    assert 0 < tally.answered - tally.ok_writes <= len(tally.latencies_s)
    assert 0.15 < server.paths["/events"] / server.paths.total() < 0.35


async def test_the_same_seed_brings_the_same_requests() -> None:
    plan = replace(PLAN, events=('{"user_id": "w"}',), write_share=0.5)
    first, again, other = Server(), Server(), Server()
    for server, seed in ((first, 3), (again, 3), (other, 4)):
        async with served(server, "a", "b", "c") as where:
            await generate_load(replace(plan, port=where.port, rate=150.0, seconds=0.4, seed=seed))
    assert first.requests == again.requests != other.requests


async def test_a_server_that_is_not_there_ends_the_round_too() -> None:
    async with asyncio.timeout(20):
        tally = await generate_load(replace(PLAN, port=find_free_port(), rate=50.0, timeout_s=0.3))
    assert tally.answered == 0
    assert tally.failures["timeout"] > 0
