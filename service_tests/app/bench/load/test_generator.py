"""The load generator against a uvicorn server: every request is counted once, with its outcome."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from app.bench.load.generator import generate_load
from app.bench.processes import find_free_port
from service_tests.app.bench.load.load_results import PROFILE
from service_tests.app.bench.load.scripted_server import LONG_S, SHORT_S, ScriptedServer, run_server

pytestmark = pytest.mark.anyio


async def test_requests_are_counted_once_and_reuse_connections() -> None:
    server = ScriptedServer()
    async with run_server(server, "a", "b", "c") as profile:
        result = await generate_load(profile)
    assert result.all_responses == server.requests.total() > profile.connections
    assert result.errors == 0
    assert len(result.latencies_s) == result.all_responses, "without a warm-up every request has a latency"
    assert result.all_responses - profile.connections <= result.ok_responses <= result.all_responses
    assert len(server.connections) == profile.connections
    counts = [server.requests[user] for user in "abc"]
    assert max(counts) - min(counts) <= 1, "all connections together send the bodies in order"


async def test_warm_up_is_excluded() -> None:
    server = ScriptedServer()
    async with run_server(server, "a") as profile:
        result = await generate_load(replace(profile, warm_up_s=0.2, seconds=0.1))
    assert 0 < result.ok_responses < result.all_responses == server.requests.total()


async def test_latencies_match_the_server() -> None:
    server = ScriptedServer()
    users = ("long", "short", "short", "short", "short")
    async with run_server(server, *users) as profile:
        result = await generate_load(replace(profile, seconds=0.5))
    assert len(result.latencies_s) == server.requests.total()
    assert result.latencies_s.min() >= SHORT_S
    share = server.requests["long"] / server.requests.total()
    slow = result.latencies_s >= LONG_S
    assert slow.mean() >= share, "every slow request is measured as slow"
    assert np.percentile(result.latencies_s, 100 * (1 - share / 2)) >= LONG_S


async def test_other_statuses_are_counted_as_errors() -> None:
    server = ScriptedServer()
    async with run_server(server, "a", "503", "422") as profile:
        result = await generate_load(profile)
    assert result.statuses == {status: server.requests[str(status)] for status in (503, 422)}
    assert len(result.latencies_s) == server.requests["a"]
    assert len(server.connections) == profile.connections, "an error response leaves the connection open"


async def test_aborted_connection_is_an_error_and_reconnects() -> None:
    server = ScriptedServer()
    async with run_server(server, "a", "a", "disconnects") as profile:
        result = await generate_load(profile)
    assert result.failures == {"disconnected": server.requests["disconnects"]}
    assert result.failures["disconnected"] > profile.connections, "it continued after the first"
    assert result.all_responses == server.requests["a"]
    assert len(server.connections) > profile.connections


async def test_connection_closed_by_the_server_reconnects_without_an_error() -> None:
    server = ScriptedServer()
    async with run_server(server, "a", "last") as profile:
        result = await generate_load(profile)
    assert result.errors == 0
    assert result.all_responses == server.requests.total()
    assert len(server.connections) >= server.requests["last"] > profile.connections


async def test_missing_response_is_a_timeout_and_the_round_ends() -> None:
    server = ScriptedServer()
    async with run_server(server, "a", "a", "a", "hangs") as profile:
        async with asyncio.timeout(20):
            result = await generate_load(replace(profile, timeout_s=0.2))
    assert result.failures == {"timeout": server.requests["hangs"]}
    assert result.all_responses == server.requests["a"]


async def test_refused_connections_do_not_cause_a_busy_loop() -> None:
    result = await generate_load(replace(PROFILE, port=find_free_port()))
    assert set(result.failures) == {"refused"}
    assert result.ok_responses == 0
    assert result.failures["refused"] <= PROFILE.connections * (PROFILE.seconds / 0.01 + 1)


async def test_non_http_response_is_malformed() -> None:
    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(b"hello\r\n\r\n")
        await reader.read()
        writer.close()

    async with await asyncio.start_server(respond, "127.0.0.1", port := find_free_port()):
        result = await generate_load(replace(PROFILE, port=port))
    assert set(result.failures) == {"malformed"}
    assert result.ok_responses == 0


async def test_response_sources_come_from_a_sample() -> None:
    server = ScriptedServer()
    async with run_server(server, "model") as profile:
        result = await generate_load(profile)
    assert set(result.served_by) == {"model"}
    assert result.served_by["model"] < result.all_responses
    assert set(result.model_versions) == {"v1"}
