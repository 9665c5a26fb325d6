"""The open loop sends at its rate whatever the server does, without coordinated omission."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from app.bench.load.generator import generate_load
from app.bench.processes import find_free_port
from service_tests.app.bench.load.load_results import PROFILE
from service_tests.app.bench.load.scripted_server import LONG_S, STOP_S, ScriptedServer, run_server

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


async def test_requests_are_sent_at_the_rate() -> None:
    server = ScriptedServer()
    async with run_server(server, "a", "b") as profile:
        result = await generate_load(replace(profile, rate=200.0, seconds=1.0))
    assert result.errors == 0
    assert 140 < result.all_responses < 260, "Poisson with a mean of 200, four standard deviations"
    assert result.all_responses == server.requests.total() == len(result.latencies_s)


async def test_latencies_include_waits_during_a_stall() -> None:
    """In a closed loop only one request per connection is slow; here all that were scheduled during the stall."""
    server = ScriptedServer()
    async with run_server(server, *["a"] * 60, "stops the world", *["a"] * 500) as profile:
        profile = replace(profile, rate=200.0, seconds=1.0, connections=2)
        open_loop = await generate_load(profile)
        server.requests.clear()
        closed_loop = await generate_load(replace(profile, rate=None))
    num_waiting = int((open_loop.latencies_s > STOP_S / 2).sum())
    assert num_waiting > 0.3 * 200 * STOP_S / 2, "of those scheduled in the first half of the stall"
    assert open_loop.latencies_s.max() >= STOP_S
    assert (closed_loop.latencies_s > STOP_S / 2).sum() <= profile.connections * server.requests["stops the world"]


async def test_overloaded_server_yields_waits_and_timeouts_for_all_requests() -> None:
    server = ScriptedServer()
    async with run_server(server, "long") as profile, asyncio.timeout(20):
        result = await generate_load(replace(profile, rate=200.0, seconds=1.0, connections=2, timeout_s=0.5))
    assert server.requests.total() < 1.6 * 2 / LONG_S, "the limit of two connections"
    assert result.failures["timeout"] > 50
    assert set(result.failures) == {"timeout"}
    assert 140 < result.all_responses + result.failures["timeout"] < 260, "no request is omitted"
    assert np.median(result.latencies_s) > 3 * LONG_S


async def test_reads_and_writes_are_interleaved_and_counted_separately() -> None:
    server = ScriptedServer()
    async with run_server(server, "a") as profile:
        events = ('{"user_id": "202"}',)
        mixed = replace(profile, rate=300.0, seconds=1.0, events=events, write_share=0.25)
        result = await generate_load(mixed)
    assert server.paths == {"/recommend": len(result.latencies_s), "/events": len(result.write_latencies_s)}
    assert result.errors == 0, "202 is a success"
    assert 0 < result.ok_writes <= len(result.write_latencies_s)
    assert 0 < result.ok_responses - result.ok_writes <= len(result.latencies_s)
    assert 0.15 < server.paths["/events"] / server.paths.total() < 0.35


async def test_equal_seeds_send_equal_requests() -> None:
    profile = replace(PROFILE, events=('{"user_id": "w"}',), write_share=0.5)
    first, again, other = ScriptedServer(), ScriptedServer(), ScriptedServer()
    for server, seed in ((first, 3), (again, 3), (other, 4)):
        async with run_server(server, "a", "b", "c") as where:
            await generate_load(replace(profile, port=where.port, rate=150.0, seconds=0.4, seed=seed))
    assert first.requests == again.requests != other.requests


async def test_round_ends_without_a_server() -> None:
    async with asyncio.timeout(20):
        result = await generate_load(replace(PROFILE, port=find_free_port(), rate=50.0, timeout_s=0.3))
    assert result.ok_responses == 0
    assert result.failures["timeout"] > 0
